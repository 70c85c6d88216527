"""OPT006 and OPT007: the loss of training on given sequences, where it is the measure of progress.

Invariant: the loss of GRPO, PPO and their kin is never judged, and where nothing tells what a log is of,
nothing above info is said of its loss.
"""

from math import inf, isfinite

from rldk.health.context import OFFLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.tracks import Chart, Streak
from rldk.metrics.aliases import LOSS

__all__ = ["ACCURACY", "JUDGED", "PAIR_ACCURACY", "RULES", "is_offline"]

PAIR_ACCURACY = (
    "rewards_accuracies|rewards_accuracies_reference_free|rewards_accuracies_token_mean|reward_model_accuracy"
)
"""Share of pairs that the model tells right."""
ACCURACY = f"{PAIR_ACCURACY}|token_accuracy_mean"
"""Share of what is trained on that the model gets right."""
PROGRESS = f"{ACCURACY}|rewards_margins*|reward_model_*|logps_chosen*|log_odds_*|kl_reference_point_mean"
"""Metrics that only offline training logs."""
EVAL_ACCURACY = "|".join(f"eval_{name}" for name in ACCURACY.split("|"))
EVAL_PAIR_ACCURACY = "|".join(f"eval_{name}" for name in PAIR_ACCURACY.split("|"))
JUDGED = OFFLINE | {"trainer"}


def is_offline(algorithm: str | None, chart: Chart) -> bool:
    """Whether the run trains on given sequences, by its algorithm or else by what it logs."""
    return algorithm in JUDGED or (algorithm is None and chart.holds(PROGRESS))


class LabelsMasked(Rule):
    """Every label is masked: nothing is trained, and the log shows a perfect loss of 0.

    ## What it looks for
    A loss of exactly 0 together with a token accuracy of 0, or with a gradient of 0 or NaN.

    ## Why it matters
    The model stays what it was, under a loss curve that looks like success.

    ## How it decides
    Two records in a row: critical. The entropy, where it is logged, must be finite; otherwise the weights are
    NaN, which look the same in loss, gradient norm and accuracy (see non-finite).

    ## What looks alike but is healthy
    A set learned by heart: its accuracy is 1. A console that rounds small losses to 0: there the loss fell
    to 0 step by step.

    ## What to do
    Decode the labels that are not -100 of one batch. Raise `max_length`; check the template.

    ## Sources
    trl#6668, trl#3927, trl#6025, trl#6320, trl#1053; measured with TRL 0.23 and 1.16, which drops
    such rows and refuses to train on nothing.
    """

    code, name, severity = "OPT006", "labels-masked", Severity.CRITICAL
    needs = ("loss",)
    algorithms = frozenset({"sft", "gkd", "trainer"})
    enable = "log the loss"

    class Options(RuleOptions, frozen=True):
        """Thresholds of labels-masked."""

        records: int = 2
        """Records in a row."""

    def start(self) -> None:
        self.streak = Streak()
        self.last = 1.0

    def observe(self, at: Observation) -> Verdict | None:
        values = at.values
        loss = values["loss"]
        if loss != 0.0:
            self.streak.count = 0
            if loss is not None:
                self.last = loss
            return None
        if self.streak.feed(self._masked(at), at.step) < self.options.records:
            return None
        accuracy, gradient = values.get("token_accuracy_mean"), values.get("grad_norm")
        known = accuracy is not None or self.context.algorithm is not None
        return Verdict(
            severity=Severity.CRITICAL if known else Severity.INFO,
            message=f"the loss is exactly 0 and nothing is trained ({self._figures(accuracy, gradient)}): "
            "every label seems to be masked",
            evidence={"loss": loss, "token_accuracy_mean": accuracy, "grad_norm": str(gradient)},
            onset=self.streak.since,
            confidence=0.9,
        )

    def _masked(self, at: Observation) -> bool:
        values = at.values
        entropy, accuracy = values.get("entropy_mean"), values.get("token_accuracy_mean")
        gradient = values.get("grad_norm")
        dark = gradient is not None and not isfinite(gradient)
        if entropy is not None and not isfinite(entropy):
            return False
        if accuracy is not None:
            return accuracy == 0.0 and (not dark or entropy is not None)
        if dark:
            return entropy is not None
        return gradient == 0.0 and self.last >= 0.05

    @staticmethod
    def _figures(accuracy: float | None, gradient: float | None) -> str:
        texts = [] if accuracy is None else [f"token accuracy {accuracy:.3g}"]
        return ", ".join(texts + ([] if gradient is None else [f"gradient {gradient:.3g}"]))

    def causes(self) -> list[Cause]:
        part = self.context.option("completion_only_loss") or self.context.option("assistant_only_loss")
        return [
            Cause(
                "`max_length` cuts the answers away",
                (Remedy("raise `max_length`", scale=2),),
                0.6,
            ),
            Cause(
                "the mask of the answers finds none: the template lacks its generation marks, or the "
                "response marker is another",
                (
                    Remedy("decode the labels of one batch that are not -100"),
                    Remedy("set `assistant_only_loss=False` to see whether it is the mask"),
                    Remedy("check `completion_only_loss` and the columns of the data"),
                ),
                0.8 if part else 0.5,
            ),
        ]


class Overfitting(Rule):
    """The training loss goes on falling while the evaluation loss rises.

    ## What it looks for
    Evaluations that stay above the best one while the training loss falls.

    ## Why it matters
    The model learns its examples by heart; the best checkpoint is behind.

    ## How it decides
    Three evaluations in a row at least 5% above the lowest, by at least a fiftieth of the first, the
    smoothed training loss below that of the best evaluation: warning. Info where the accuracy of the
    evaluation is still better than it was then.

    ## What looks alike but is healthy
    The step down of the training loss at each new epoch; noise of a small evaluation set; a preference loss
    that rises with the confidence of few wrong pairs while the accuracy rises. An
    evaluation with fewer than 35% of its pairs right: see swapped-preferences.

    ## What to do
    Train for fewer epochs; keep the best checkpoint.

    ## Sources
    General practice; a public DPO log with a loss of .003 and margins of 9 by epoch 7.
    """

    code, name, severity = "OPT007", "overfitting", Severity.WARNING
    needs = ("eval_loss",)
    phases = ("eval",)
    algorithms = JUDGED
    enable = "evaluate during training: eval_strategy"
    patience = 1

    class Options(RuleOptions, frozen=True):
        """Thresholds of overfitting."""

        rise: float = 0.05
        """Rise above the lowest evaluation loss, as a share of it."""
        evaluations: int = 3
        """Evaluations in a row."""

    def start(self) -> None:
        self.loss = self.chart.track(LOSS)
        self.accuracy = self.chart.track(EVAL_ACCURACY)
        self.pairs = self.chart.track(EVAL_PAIR_ACCURACY)
        self.first: float | None = None
        self.least, self.least_step = inf, 0
        self.at_least = (0.0, 0.0)
        self.above = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        value = at.values["eval_loss"]
        if value is None or not isfinite(value):
            return None
        if self.first is None:
            self.first = value
        if value < self.least:
            self.least, self.least_step = value, at.step
            self.at_least = (self.loss.ema10, self.accuracy.last)
        rise = value - self.least
        far = rise >= max(self.options.rise * abs(self.least), 0.02 * abs(self.first))
        held = self.above.feed(far and rise > 0, at.step)
        trained, accuracy = self.at_least
        if held < self.options.evaluations or not self.loss.count or self.loss.ema10 >= 0.98 * trained:
            return None
        if self.pairs.count and self.pairs.last < 0.35:
            return None
        better = self.accuracy.count > 1 and self.accuracy.last >= accuracy + 0.01
        sure = is_offline(self.context.algorithm, self.chart) and not better
        return Verdict(
            severity=Severity.WARNING if sure else Severity.INFO,
            message=f"the evaluation loss rose from {self.least:.3g} (step {self.least_step}) to {value:.3g} "
            f"while the training loss fell from {trained:.3g} to {self.loss.ema10:.3g}",
            evidence={"eval_loss": [self.least, value], "loss": [trained, self.loss.ema10]},
            onset=self.above.since,
            confidence=min(0.6 + rise / max(abs(self.least), 1e-9), 0.9),
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "too many passes over the data",
                (
                    Remedy(
                        "lower `num_train_epochs`, to the epoch of the best evaluation",
                        down_to=1,
                        unless=("max_steps",),
                    ),
                    Remedy("end at the step of the best evaluation"),
                    Remedy("set `load_best_model_at_end=True`"),
                ),
                0.7,
            ),
            Cause(
                "the learning rate is high for so few examples",
                (Remedy("lower `learning_rate`", scale=0.3),),
                0.5,
            ),
            Cause("duplicates among the training examples", (Remedy("remove duplicates"),), 0.3),
        ]


RULES: tuple[type[Rule], ...] = (LabelsMasked, Overfitting)
"""OPT006 and OPT007."""

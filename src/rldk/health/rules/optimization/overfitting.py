"""OPT007 overfitting: the training loss goes on falling while the evaluation loss rises.

Invariant: the losses of GRPO and PPO are never judged, and an unknown kind of training is never more than
info, unless what it logs leaves only sft.
"""

from math import inf, isfinite

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import READ_PAIRS
from rldk.health.rules.optimization.common import (
    ACCURACY,
    LOSS_IS_PROGRESS,
    PAIR_ACCURACY,
    is_offline,
    is_supervised,
)
from rldk.health.tracks import Streak
from rldk.metrics.aliases import LOSS

__all__ = ["Overfitting", "OverfittingOptions"]

LEAST = 0.02
"""Least rise, as a share of the first evaluation loss."""
IN_ORDER = 6
"""Evaluations in rising order: chance orders six of them so once in 720 times."""
EVAL_ACCURACY = "|".join(f"eval_{name}" for name in ACCURACY.split("|"))
TRAIN_MARGIN = "rewards_margins"
CARRIED = 0.2
"""Share of the training margin that the evaluation's is at least where something carries over; the least of a
healthy run of the wide set is 0.36."""
SWAPPED = -0.5
"""Share below which one of both sets is swapped: see swapped-preferences."""
CLEAR = 3.5
"""Standard errors by which a training margin is above 0, at each of three evaluations."""
EVAL_PAIR_ACCURACY = "|".join(f"eval_{name}" for name in PAIR_ACCURACY.split("|"))

MANY = 10.0
"""Passes over the data from which more rows help first."""
AT_CHANCE = 0.58
"""Share of pairs of the evaluations ranked right that no evaluation exceeds where labels are noise."""


class OverfittingOptions(RuleOptions, frozen=True):
    """Thresholds of overfitting."""

    rise: float = 0.05
    """Least rise above the lowest evaluation loss, as a share of it."""
    evaluations: int = 3
    """Evaluations in a row."""
    most: float = 0.5
    """Rise that is a warning although the evaluation accuracy got better."""


class Overfitting(Rule[OverfittingOptions]):
    """The training loss goes on falling while the evaluation loss rises.

    ## What it looks for
    Evaluations that stay above the best one while the training loss falls.

    ## Why it matters
    The model memorises its examples, and its best checkpoint is in the past.

    ## How it decides
    Three evaluations in a row are at least 5% above the lowest, and by at least a fiftieth of the first. The
    smoothed training loss is below its value at the best evaluation: warning. Info where the evaluation
    accuracy is still better than it was then, unless the loss rose by half.

    A loss that can move little, as that of KTO, may rise by less: six evaluations in a row, each at or above
    the one before, that rose by a fiftieth of the first and by more than the training loss fell meanwhile.

    Pairs that the model separates in training only: the training margin is 3.5 standard errors above 0 over
    20 records, and the evaluation's is below 0.2 of it, for three evaluations: warning. Below -0.5 of it, see
    swapped-preferences.

    A log of unknown algorithm with a loss, a learning rate and a gradient norm, and no key of another
    algorithm, is taken as sft.

    ## What looks alike but is healthy
    The step down of the training loss at each new epoch; noise of a small evaluation set; a preference loss
    that rises with the confidence of few wrong pairs while the accuracy rises. An
    evaluation with fewer than 35% of its pairs right that never had half of them right: see
    swapped-preferences.

    ## What to do
    Train for fewer epochs; keep the best checkpoint.

    ## Sources
    General practice; a public DPO log with a loss of .003 and margins of 9 by epoch 7.
    """

    code, name, severity = "OPT007", "overfitting", Severity.WARNING
    needs = ("eval_loss",)
    phases = ("eval",)
    algorithms = LOSS_IS_PROGRESS
    enable = "evaluate during training: eval_strategy"
    patience = 1

    def start(self) -> None:
        self.loss = self.chart.track(LOSS)
        self.accuracy = self.chart.track(EVAL_ACCURACY)
        self.pairs = self.chart.track(EVAL_PAIR_ACCURACY)
        self.epoch = self.chart.track("epoch")
        self.first: float | None = None
        self.least, self.least_step = inf, 0
        self.at_least = (0.0, 0.0)
        self.margin, self.eval_margin = (
            self.chart.track(TRAIN_MARGIN),
            self.chart.track(f"eval_{TRAIN_MARGIN}"),
        )
        self.above, self.climbs, self.apart = Streak(), Streak(), Streak()
        self.before = inf

    def observe(self, at: Observation) -> Verdict | None:
        value = at.values["eval_loss"]
        if value is None or not isfinite(value):
            return None
        if self.first is None:
            self.first = value
        if value < self.least:
            self.least, self.least_step = value, at.step
            self.at_least = (self.loss.ema10, self.accuracy.last)
        apart = self.apart.feed(self._is_by_heart(at.step), at.step)
        rise = value - self.least
        least = LEAST * abs(self.first)
        far = max(self.options.rise * abs(self.least), least)
        held = self.above.feed(rise >= far and rise > 0, at.step)
        climbed = self.climbs.feed(value >= self.before, at.step)
        self.before = value
        trained, accuracy = self.at_least
        fell = trained - self.loss.ema10
        slowly = climbed >= IN_ORDER - 1 and rise >= max(least, fell) > 0 and fell > self.loss.error(10)
        plainly = held >= self.options.evaluations and fell > 0.02 * trained
        if not self.loss.count or not (plainly or slowly):
            return self._by_heart() if apart >= self.options.evaluations else None
        if self.pairs.count and self.pairs.last < 0.35 and self.pairs.high < 0.5:
            return None  # they never were right: swapped-preferences
        better = self.accuracy.count > 1 and self.accuracy.last >= accuracy + 0.01
        better = better and rise < self.options.most * abs(self.least)
        sure = is_offline(self.context.algorithm, self.chart) and not better
        return Verdict(
            severity=Severity.WARNING if sure else Severity.INFO,
            message=f"the evaluation loss rose from {self.least:.3g} (step {self.least_step}) to {value:.3g} "
            f"while the training loss fell from {trained:.3g} to {self.loss.ema10:.3g}"
            + (" (taken as sft)" if is_supervised(self.context.algorithm, self.chart) else ""),
            evidence={"eval_loss": [self.least, value], "loss": [trained, self.loss.ema10]},
            onset=(self.above if plainly else self.climbs).since,
            confidence=min(0.6 + rise / max(abs(self.least), 1e-9), 0.9),
            last_good_step=self.least_step,
            baseline=self.least,
            limit=self.least + far,
        )

    def _is_by_heart(self, step: int) -> bool:
        """Whether the model separates the training pairs, and not those of the evaluation of this step."""
        margin, evaluated = self.margin, self.eval_margin
        if margin.count < 20 or evaluated.step != step:
            return False
        trained = margin.mean(20)
        share = evaluated.last / trained if trained > CLEAR * margin.error(20) else 1.0
        return SWAPPED < share < CARRIED

    def _by_heart(self) -> Verdict:
        trained, evaluated = self.margin.mean(20), self.eval_margin.last
        return Verdict(
            severity=Severity.WARNING,
            message=f"the model separates the training pairs, with a margin of {trained:.3g}, but not those "
            f"of the evaluation: {evaluated:.2g}",
            evidence={TRAIN_MARGIN: trained, f"eval_{TRAIN_MARGIN}": evaluated, "eval_loss": self.before},
            onset=self.apart.since,
            confidence=0.7,
            baseline=trained,
            limit=CARRIED * trained,
        )

    def causes(self) -> list[Cause]:
        passes = self.epoch.last if self.epoch.count else 0.0
        at_chance = self.pairs.count > 2 and self.pairs.high < AT_CHANCE
        return [
            Cause(
                "there are few rows, and they are learned by heart",
                (Remedy(f"train on more rows: each has been seen {passes:.0f} times"),),
                0.95 if passes >= MANY else 0.1,
            ),
            Cause(
                "the labels of the pairs are noise: what is learned of them is right by chance elsewhere",
                (READ_PAIRS,),
                0.9 if at_chance else 0.1,
            ),
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

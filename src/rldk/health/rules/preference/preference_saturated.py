"""PRF002 preference-saturated: the model separates all pairs: the loss is near 0 and there is nothing left to
learn.

Invariant: it is a warning only early in the first epoch; later, all pairs may well be learned.
"""

from rldk.health.context import PAIRS
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.preference.common import ACCURACY, MARGIN
from rldk.health.tracks import Streak

__all__ = ["PreferenceSaturated", "PreferenceSaturatedOptions"]


class PreferenceSaturatedOptions(RuleOptions, frozen=True):
    """Thresholds of preference-saturated."""

    accuracy: float = 0.99
    """Least accuracy."""
    loss: float = 0.05
    """Highest loss."""
    records: int = 10
    """Records in a row."""
    margin: float = 5.0
    """Mean margin above which it is a warning, in the first half of epoch 1."""


class PreferenceSaturated(Rule[PreferenceSaturatedOptions]):
    """The model separates all pairs: the loss is near 0 and there is nothing left to learn.

    ## What it looks for
    A loss near 0 and an accuracy of 1 for many records.

    ## Why it matters
    Early in the run it suggests a shortcut, such as the length, or a wrong reference. From then on only the
    margins grow, and with them the distance to the reference.

    ## How it decides
    Accuracy at least 0.99 and loss below 0.05 for ten records: info. Within the first half of the first epoch
    and with a mean margin above 5, where the gradient of a pair is a hundredth of its start: warning.

    ## What looks alike but is healthy
    Easy sets, above all synthetic ones; late epochs.

    ## What to do
    Look for what separates the pairs; stop earlier; raise beta.

    ## Sources
    trl#1236; LLaMA-Factory#8974 (loss 0 at step 5: the wrong reference); a public log of a one-sided set.
    """

    code, name, severity = "PRF002", "preference-saturated", Severity.WARNING
    needs = (ACCURACY, "loss|dpo_loss_mean")
    algorithms = PAIRS - {"kto", "bco"}
    enable = "train with DPO of TRL, which logs rewards/accuracies"

    def start(self) -> None:
        self.accuracy = self.chart.track(ACCURACY)
        self.loss = self.chart.track("loss|dpo_loss_mean")
        self.margin = self.chart.track(MARGIN)
        self.done = Streak()
        self.early = False

    def observe(self, at: Observation) -> Verdict | None:
        options = self.options
        full = self.accuracy.last >= options.accuracy and -1e-9 < self.loss.last < options.loss
        held = self.done.feed(full, at.step)
        if held < options.records:
            self.early = False
            return None
        epoch = at.values.get("epoch")
        if epoch is not None and epoch <= 0.5 and self.margin.count and self.margin.ema10 > options.margin:
            self.early = True
        far = self.early
        return Verdict(
            severity=Severity.WARNING if far else Severity.INFO,
            message=f"the model has separated every pair since step {self.done.since}: loss "
            f"{self.loss.ema10:.2g}, margin {self.margin.ema10:.3g}"
            + (f", by epoch {epoch:.2g}" if far and epoch else ""),
            evidence={"loss": self.loss.ema10, "rewards_margins": self.margin.ema10, "epoch": epoch},
            onset=self.done.since,
            confidence=0.7 if far else 0.6,
            limit=options.accuracy,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "something trivial separates the pairs, such as length, format or source",
                (Remedy("compare lengths and formats of chosen and rejected answers"),),
                0.7 if self.early else 0.4,
            ),
            Cause(
                "too many steps for these pairs",
                (
                    Remedy("set `num_train_epochs` to 1", down_to=1, unless=("max_steps",)),
                    Remedy("lower `learning_rate`", scale=0.3),
                    Remedy("set `label_smoothing` to 0.1 with `loss_type=['robust']`", up_to=0.1),
                ),
                0.5,
            ),
            Cause(
                "the reference is not the model that training started from",
                (Remedy("check which model the reference is"),),
                0.3,
            ),
        ]

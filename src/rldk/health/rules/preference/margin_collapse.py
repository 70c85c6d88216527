"""PRF005 margin-collapse: the margin between chosen and rejected answers falls back.

Invariant: the rule compares a margin with its own best, and a loss of margin with its noise.
"""

from rldk.health.context import PAIRS
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.tracks import Streak

__all__ = ["MarginCollapse", "MarginCollapseOptions"]


class MarginCollapseOptions(RuleOptions, frozen=True):
    """Thresholds of margin-collapse."""

    share: float = 0.5
    """Share of the best margin below which the margin has collapsed."""
    best: float = 0.1
    """Best margin from which it is judged."""
    noise: float = 1.5
    """Least loss, in standard deviations of the record-to-record noise."""
    records: int = 20
    """Records in a row."""


class MarginCollapse(Rule[MarginCollapseOptions]):
    """The margin between chosen and rejected answers falls back.

    ## What it looks for
    A smoothed margin below half of the best that it had reached.

    ## Why it matters
    The model is losing the preferences that it had learned.

    ## How it decides
    The mean over 20 records is below half of its best, and the best was above 0.1. The loss of margin is at
    least 1.5 times its record-to-record noise. All that for 20 records (10 where a record covers five steps):
    warning.

    ## What looks alike but is healthy
    Noise of small batches around a small margin; other data in a new epoch.

    ## What to do
    Go back to the checkpoint of the best margin; lower the learning rate.

    ## Sources
    Chosen by judgement and checked on public DPO logs: no healthy run loses half of its margin.
    """

    code, name, severity = "PRF005", "margin-collapse", Severity.WARNING
    needs = ("rewards_margins",)
    algorithms = PAIRS
    enable = "train with DPO or KTO of TRL, which log rewards/margins"
    explained_by = ("divergence", "non-finite")
    answers = ("chosen-falls",)

    def start(self) -> None:
        self.margin = self.chart.track("rewards_margins")
        self.low = Streak()
        self.best, self.best_step, self.noise = 0.0, 0, 0.0
        self.first_step: int | None = None

    def observe(self, at: Observation) -> Verdict | None:
        margin = self.margin
        level = margin.ema20
        if self.first_step is None:
            self.first_step = at.step
        if margin.count < 10:
            return None
        if level > self.best:
            self.best, self.best_step, self.noise = level, at.step, margin.noise
            self.low.feed(False, at.step)
            return None
        low = self.best >= self.options.best and level < self.options.share * self.best
        held = self.low.feed(low and self.best - level >= self.options.noise * self.noise, at.step)
        spacing = (at.step - self.first_step) / (margin.count - 1)
        if held < (self.options.records if spacing < 5 else self.options.records // 2):
            return None
        return Verdict(
            severity=Severity.WARNING,
            message=f"the margin fell from {self.best:.3g} (step {self.best_step}) to {level:.3g}",
            evidence={"rewards_margins": [self.best, level], "noise": self.noise},
            onset=self.low.since,
            last_good_step=self.best_step,
            confidence=min(0.6 + 0.3 * (self.best - level) / self.best, 0.9),
            baseline=self.best,
            limit=self.options.share * self.best,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "updates are too large",
                (
                    Remedy("lower `learning_rate`", scale=0.1),
                    Remedy("set `max_grad_norm` to 1.0", down_to=1.0),
                    Remedy("set `beta` to 0.1", up_to=0.1),
                ),
                0.6,
            ),
            Cause("the data change here", (Remedy("compare the pairs before and after the onset"),), 0.3),
        ]

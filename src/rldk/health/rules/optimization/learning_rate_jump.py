"""OPT009 learning-rate-jump: the learning rate jumps far above every rate that the run had before.

Invariant: a warm-up, a return to an earlier rate and the first record after a resume are never reported.
"""

from collections import deque
from math import isfinite

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict

__all__ = ["LearningRateJump", "LearningRateJumpOptions"]


class LearningRateJumpOptions(RuleOptions, frozen=True):
    """Thresholds of learning-rate-jump."""

    ratio: float = 2.0
    """Multiple of the highest rate before."""
    records: int = 20
    """Records before the jump in which the rate did not rise, so that a warm-up is over."""


class LearningRateJump(Rule[LearningRateJumpOptions]):
    """The learning rate jumps far above every rate that the run had before.

    ## What it looks for
    A learning rate that rises between two records, after a warm-up.

    ## Why it matters
    A jump is a change of the training. It is the first suspect of what begins within 20 records of it.

    ## How it decides
    The rate is at least twice the highest rate before, and it did not rise in the 20 records before: info.
    A rate up to the planned `learning_rate` is never a jump. After a resume the rule starts anew, because
    `resume-jump` compares the rates on either side. Logs of other tools than TRL are not judged, because many
    round the rate.

    ## What looks alike but is healthy
    A warm-up, also in stairs; a cyclic schedule; a warm restart, which returns to an earlier rate.

    ## What to do
    If something fails after the jump, train again from the last good checkpoint without it.

    ## Sources
    Trained with this fault on purpose in benchmarks/detection.
    """

    code, name, severity = "OPT009", "learning-rate-jump", Severity.INFO
    needs = ("lr",)
    enable = "log the learning rate, as TRL does"
    when_over = "keep"
    is_change = True

    def start(self) -> None:
        self.planned = self.context.number("learning_rate") or 0.0
        self.recent: deque[float] = deque(maxlen=self.options.records)
        self.highest = 0.0
        self.since: int | None = None

    def observe(self, at: Observation) -> Verdict | None:
        rate = at.values["lr"]
        if rate is None or not isfinite(rate):
            return None
        if at.resumed_from is not None:
            self.recent.clear()
            self.highest, self.since = 0.0, None
        if self._is_jump(rate):
            self.since = at.step if self.since is None else self.since
            return Verdict(
                severity=Severity.INFO,
                message=f"the learning rate jumped to {rate:.2g}; it was at most {self.highest:.2g} before",
                evidence={"lr": [self.highest, rate]},
                onset=self.since,
                confidence=0.9,
                baseline=self.highest,
                limit=self.options.ratio * self.highest,
            )
        self.since = None
        self.recent.append(rate)
        self.highest = max(self.highest, rate)
        return None

    def _is_jump(self, rate: float) -> bool:
        """Whether the rate is far above all before; rates during a jump do not count as before."""
        recent, options = self.recent, self.options
        if (
            rate < options.ratio * self.highest
            or rate <= 1.01 * self.planned
            or len(recent) < options.records
        ):
            return False
        return recent[0] > 0.0 and max(recent) <= 1.001 * recent[0]

    def checkable(self) -> str | None:
        if self.context.dialect in (None, "trl", "trl-early"):
            return None
        return "this log may round learning rates: record the run with RLDKCallback"

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the schedule or a callback changed the learning rate",
                (Remedy("check `lr_scheduler_type` and what sets the rate of the optimizer"),),
                0.7,
            )
        ]

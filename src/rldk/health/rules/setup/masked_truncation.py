"""SET009 masked-truncation: most completions are cut, and cut ones are masked: little is left to train on.

Invariant: as in `setup`.
"""

from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.setup.common import GENERATING, RECORD

__all__ = ["MaskedTruncation", "MaskedTruncationOptions"]


class MaskedTruncationOptions(RuleOptions, frozen=True):
    """Thresholds of masked-truncation."""

    share: float = 0.5
    """Share of cut completions above which it is reported."""


class MaskedTruncation(Rule[MaskedTruncationOptions]):
    """Most completions are cut, and cut ones are masked: little is left to train on.

    ## What it looks for
    `mask_truncated_completions` with more than half of the completions cut.

    ## Why it matters
    Masked completions have no gradient: the more are cut, the less the policy learns, and the log does not
    show it.

    ## How it decides
    The mean of the share of cut completions over ten records is above 0.5, from the fifth on: warning.

    ## What looks alike but is healthy
    Long answers with few cut ones: the option is meant for them.

    ## What to do
    Raise the completion limit; do not mask before.

    ## Sources
    TRL's documentation; trl#7039.
    """

    code, name, severity = "SET009", "masked-truncation", Severity.WARNING
    algorithms = GENERATING
    needs = ("truncated_frac",)
    enable = "train with GRPO or RLOO of TRL, which log completions/clipped_ratio"

    def start(self) -> None:
        self.cut = self.chart.track("truncated_frac")
        self.masks = self.context.option("mask_truncated_completions") is True

    def checkable(self) -> str | None:
        return None if self.context.options else RECORD

    def observe(self, at: Observation) -> Verdict | None:
        cut = self.cut
        if not self.masks or cut.count < 5 or cut.ema10 <= self.options.share:
            return None
        return Verdict(
            severity=Severity.WARNING,
            message=f"{cut.ema10:.0%} of the completions are cut, and cut ones are masked: little is trained",
            evidence={"truncated_frac": cut.ema10, "mask_truncated_completions": True},
            confidence=0.85,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the completion limit is too small for this model",
                (
                    Remedy("raise `max_completion_length`", scale=2),
                    Remedy("set `mask_truncated_completions=False`"),
                ),
            )
        ]

"""CKP006 lora-rank: the rank of a LoRA adapter is far from what the update uses.

Invariant: an adapter is not judged before step 50, and the finding is never more than info.
"""

from rldk.health.rule import RuleOptions, Severity, Verdict
from rldk.health.rules.checkpoint.common import CheckpointRule
from rldk.schema.checkpoint import Analysis

__all__ = ["LoraRank", "LoraRankOptions"]


class LoraRankOptions(RuleOptions, frozen=True):
    """Thresholds of lora-rank."""

    steps: int = 50
    """Step from which it is judged."""
    low: float = 1.2
    """Stable rank below which most of the rank is unused."""
    high: float = 0.8
    """Share of r above which the whole rank is used."""


class LoraRank(CheckpointRule[LoraRankOptions]):
    """The rank of a LoRA adapter is far from what the update uses.

    ## What it looks for
    The stable rank of BA, ||BA||_F^2 / ||BA||_2^2, against the rank r of the configuration.

    ## Why it matters
    Near 1 most of the rank is unused, and its memory is wasted; near r the update may need a higher rank.

    ## How it decides
    From step 50: the median over the modules is below 1.2 with r of 8 or more, or above 0.8 r. It is info.

    ## What looks alike but is healthy
    RL from a verifiable reward works at rank 1. Updates begin with one direction and spread later.

    ## What to do
    Try half the rank, or twice, and compare the evals.

    ## Sources
    OpenReview qmBLPS6tRP; arXiv:2603.03995; Thinking Machines, "LoRA Without Regret" (rank 1 suffices in RL).
    """

    code, name, severity = "CKP006", "lora-rank", Severity.INFO
    when_over = "forget"

    def judge(self, found: Analysis) -> Verdict | None:
        adapter = found.adapter
        if adapter is None or adapter.stable_rank is None or not adapter.r:
            return None
        if (found.step or 0) < self.options.steps:
            return None
        rank, stable = adapter.r, adapter.stable_rank
        unused, full = rank >= 8 and stable < self.options.low, rank > 1 and stable > self.options.high * rank
        if not (unused or full):
            return None
        meaning = "most of the rank is unused" if unused else "the whole rank is used"
        return Verdict(
            severity=Severity.INFO,
            message=f"the update has a stable rank of {stable:.1f} at r={rank}: {meaning}",
            evidence={
                "stable_rank": stable,
                "r": rank,
                "update": adapter.update,
                "update_share": adapter.update_share,
            },
            confidence=0.5,
        )

"""GEN006 importance-starvation: the correction for the mismatch throws away most of the gradient.

Invariant: a low mean ratio is a warning at any reward only below `worst`; else the reward decides.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import thrives
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.generation.common import GRPO_VLLM, SAMPLING_LOGP
from rldk.health.tracks import Streak
from rldk.metrics.aliases import LENGTH, REWARD

__all__ = ["ImportanceStarvation", "ImportanceStarvationOptions"]

RATIO = "importance_sampling_ratio_mean"
EFFECTIVE = "importance_sampling_effective_frac"
REJECTED = "importance_rejected_frac"


class ImportanceStarvationOptions(RuleOptions, frozen=True):
    """Thresholds of importance-starvation."""

    ratio: float = 0.75
    """Mean ratio below which it is reported."""
    worst: float = 0.5
    """Mean ratio below which it is a warning whatever the reward."""
    effective: float = 0.3
    """Effective share of the samples below which it is reported."""
    rejected: float = 0.5
    """Rejected share above which it is reported."""
    records: int = 10
    """Records in a row."""


class ImportanceStarvation(Rule[ImportanceStarvationOptions]):
    """The correction for the mismatch throws away most of the gradient.

    ## What it looks for
    The mean importance ratio after truncation or masking, the effective share of samples, the share rejected.

    ## Why it matters
    Masked tokens teach nothing: the run pays for completions that it does not learn from.

    ## How it decides
    The mean of ten records, for ten records: a mean ratio below 0.75, an effective share below 0.3, or more
    than half rejected. Warning where the mean ratio is below 0.5, or the reward is neither at its top nor
    above its start, and does not improve. Otherwise info.

    ## What looks alike but is healthy
    In the masking modes a minimum of 0 is normal; in token modes the mean stays near 1. Healthy logs of one
    source scatter between 0.75 and 1.1.

    ## What to do
    Correct token by token: the ratio of a sequence is a product over its tokens, whose spread grows with
    length.

    ## Sources
    trl#5815 and trl#5814 (0.569 to 0.993 by token truncation), trl#4772; a public log of a 30B model: mean
    ratio 0.465 at 631 tokens.
    """

    code, name, severity = "GEN006", "importance-starvation", Severity.WARNING
    needs = (f"{RATIO}|{EFFECTIVE}|{REJECTED}",)
    algorithms = ONLINE
    enable = GRPO_VLLM
    explained_by = ("sampling-mismatch", "broken-start")

    def start(self) -> None:
        track = self.chart.track
        self.ratio, self.effective, self.rejected = track(RATIO), track(EFFECTIVE), track(REJECTED)
        self.difference, self.length = track(SAMPLING_LOGP), track(LENGTH)
        self.reward = track(REWARD)
        self.low = Streak()
        self.alarmed = False

    def observe(self, at: Observation) -> Verdict | None:
        starved = self._starved()
        held = self.low.feed(starved is not None, at.step)
        if starved is None or held < self.options.records:
            return None
        text, name, level, limit = starved
        thriving = thrives(self.reward) and not 0 < self.ratio.ema10 < self.options.worst
        if thriving and self.alarmed:
            return None
        self.alarmed = not thriving and self.reward.count > 0
        summed = self.difference.ema10 * self.length.ema10
        return Verdict(
            severity=Severity.INFO if thriving or not self.reward.count else Severity.WARNING,
            message=text
            + (f"; the difference adds up to {summed:.1f} nats a completion" if summed > 1 else "")
            + (". The reward does well all the same" if thriving else ""),
            evidence={
                name: level,
                SAMPLING_LOGP: self.difference.ema10 if self.difference.count else None,
                LENGTH: self.length.ema10 if self.length.count else None,
            },
            onset=self.low.since,
            confidence=0.75,
            limit=limit,
        )

    def _starved(self) -> tuple[str, str, float, float] | None:
        """What is starved in words, with its metric, its level and its limit."""
        options = self.options
        if self.ratio.count >= 5 and self.ratio.ema10 < options.ratio:
            text = f"the mean importance ratio is {self.ratio.ema10:.2f}: much of the batch is discarded"
            return text, RATIO, self.ratio.ema10, options.ratio
        if self.effective.count >= 5 and self.effective.ema10 < options.effective:
            text = f"only {self.effective.ema10:.0%} of the samples count after the correction"
            return text, EFFECTIVE, self.effective.ema10, options.effective
        if self.rejected.count >= 5 and self.rejected.ema10 > options.rejected:
            text = f"the correction rejects {self.rejected.ema10:.0%} of the tokens"
            return text, REJECTED, self.rejected.ema10, options.rejected
        return None

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the correction works on whole sequences, whose ratio is a product over their tokens",
                (
                    Remedy(
                        "set `vllm_importance_sampling_mode='token_truncate'`",
                        verl="set algorithm.rollout_correction.rollout_is=token",
                    ),
                    Remedy("set `vllm_importance_sampling_clip_max` to 3", up_to=3),
                    Remedy("raise `vllm_importance_sampling_cap`", scale=1.5),
                ),
                0.7,
            ),
            Cause(
                "engine and trainer differ too much",
                (Remedy("see sampling-mismatch: same precision, same weights"),),
                0.8 if self.difference.count and self.difference.ema10 > 0.05 else 0.4,
            ),
        ]

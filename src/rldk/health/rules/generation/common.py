"""What rules of the generation family share."""

from typing import ClassVar, TypeVar

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.reward_state import course, in_noise, thrives
from rldk.health.rule import Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.common import OBSERVE
from rldk.health.tracks import Streak, Track
from rldk.metrics.aliases import REWARD

__all__ = [
    "DUPLICATES",
    "GRPO_VLLM",
    "LONGEST",
    "REPEATED",
    "SAMPLING_KL",
    "SAMPLING_LOGP",
    "SAMPLING_PROB",
    "SHORTEST",
    "RiseOptions",
    "RisesAboveOwnLevel",
]

LONGEST, SHORTEST = "completion_length_max", "completion_length_min"
SAMPLING_LOGP = "sampling_logp_difference_mean"
SAMPLING_PROB = "sampling_prob_difference_mean"
SAMPLING_KL = "sampling_kl_mean"
GRPO_VLLM = "generate with vLLM in TRL's GRPO, which logs sampling/*, or set calculate_log_probs=True in verl"
DUPLICATES, REPEATED = "samples/duplicate_frac", "samples/repetition_frac"


class RiseOptions(RuleOptions, frozen=True):
    """Thresholds of a rise."""

    rise: float
    """Least rise of the share above the run's own level."""
    level: float
    """Share below which nothing is reported."""
    records: int
    """Records in a row."""


RiseOptions_co = TypeVar("RiseOptions_co", bound=RiseOptions, covariant=True)


class RisesAboveOwnLevel(Rule[RiseOptions_co]):
    """Reports a share of the completions that rises above the run's own level."""

    algorithms = ONLINE
    enable = OBSERVE
    share: ClassVar[str]
    """The metric that holds the share."""

    def start(self) -> None:
        self.level, self.reward = self.chart.track(self.share), self.chart.track(REWARD)
        self.high = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        track, options = self.level, self.options
        if track.count < 10:
            return None
        # Both, since a rise before record 25 is part of the second.
        own = track.start if track.baseline is None else min(track.start, track.baseline)
        now = min(track.ema10, track.median(5))  # a short burst stays in a mean for long
        rise = now - own
        high = rise >= options.rise and now >= options.level and in_noise(track, rise) >= 2.0
        if self.high.feed(high, at.step) < self.enough(options.records):
            return None
        reward = self.reward
        if self.is_rewarded(reward):
            return None
        reward_text = f"; the reward {course(reward.start, reward.ema20)}" if reward.count else ""
        return Verdict(
            severity=Severity.INFO if not reward.count or thrives(reward) else Severity.WARNING,
            message=self.describe(own, track.ema10) + reward_text,
            evidence={
                self.share: [own, track.ema10],
                "reward_mean": [reward.start, reward.ema20] if reward.count else None,
            },
            onset=self.high.since,
            confidence=min(0.6 + rise / 2, 0.9),
        )

    def is_rewarded(self, reward: Track) -> bool:
        """Whether the reward shows that the task asks for such texts."""
        return False

    def describe(self, own: float, now: float) -> str:
        """The finding in words, with its numbers."""
        raise NotImplementedError

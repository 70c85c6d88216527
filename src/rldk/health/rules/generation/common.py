"""What rules of the generation family share."""

from math import log
from typing import ClassVar, TypeVar

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.reward_state import course
from rldk.health.rule import Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.common import OBSERVE
from rldk.health.tracks import Track
from rldk.health.trouble import Trouble
from rldk.metrics.aliases import REWARD

__all__ = [
    "DUPLICATES",
    "GRPO_VLLM",
    "LONGEST",
    "NOISES",
    "PAID",
    "REPEATED",
    "SAMPLING_KL",
    "SAMPLING_LOGP",
    "SAMPLING_PROB",
    "SHORTEST",
    "RiseOptions",
    "RisesAboveOwnLevel",
    "growth",
    "least_growth",
]

LONGEST, SHORTEST = "completion_length_max", "completion_length_min"
SAMPLING_LOGP = "sampling_logp_difference_mean"
SAMPLING_PROB = "sampling_prob_difference_mean"
SAMPLING_KL = "sampling_kl_mean"
GRPO_VLLM = "generate with vLLM in TRL's GRPO, which logs sampling/*, or set calculate_log_probs=True in verl"
DUPLICATES, REPEATED = "samples/duplicate_frac", "samples/repetition_frac"
PAID = 0.7
"""How much of the score of a length a reward that gains takes away: a doubling that is not paid for weighs
as much as ten times the length that is."""
NOISES = 2.5
"""Change, in multiples of the noise from record to record, that is a warning where that is more than the
rule's own limit."""


def growth(long: float, short: float, times: float, length: Track) -> float:
    """The effect of a length that changed between `short` and `long`: 1 at `times` as much, 2 at its square.

    Args:
        long: the larger length.
        short: the smaller one.
        times: the multiple that is a warning while the reward stands.
        length: the track of the length, for its noise.
    """
    return log(long / short) / least_growth(times, length) if long > short else 0.0


def least_growth(times: float, length: Track) -> float:
    """The logarithm of a growth whose effect is 1: that of `times`, or more where the length is noisy."""
    return max(log(times), NOISES * length.noise / length.ema50)


class RiseOptions(RuleOptions, frozen=True):
    """Thresholds of a rise."""

    rise: float
    """Rise of the share above the run's own level that is a warning while the reward stands."""
    level: float
    """Least share for a warning."""
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
        self.high = Trouble(self.reward, records=self.options.records, discount=PAID, enough=self.enough)

    def observe(self, at: Observation) -> Verdict | None:
        track, options, trouble = self.level, self.options, self.high
        if track.count < 10:
            return None
        # Both, since a rise before record 25 is part of the second.
        own = track.start if track.baseline is None else min(track.start, track.baseline)
        now = min(track.ema10, track.median(5))  # a short burst stays in a mean for long
        least = max(options.rise, NOISES * track.noise)
        rise = (now - own) / least
        severity = trouble.feed(min(rise, now / options.level), at.step)
        self.score = trouble.score
        if severity is None:
            return None
        reward, then = self.reward, trouble.then
        return Verdict(
            severity=Severity.INFO if self.is_harmless() else min(severity, Severity.WARNING),
            message=self.describe(own, now)
            + (f"; the reward {course(then.mean, reward.ema20)}" if then else ""),
            evidence={
                self.share: [own, now],
                "reward_mean": [then.mean, reward.ema20] if then else None,
            },
            onset=trouble.since,
            confidence=trouble.confidence,
            baseline=own,
            limit=max(own + least, options.level),
        )

    def is_harmless(self) -> bool:
        """Whether the task itself asks for such texts."""
        return False

    def describe(self, own: float, now: float) -> str:
        """The finding in words, with its numbers."""
        raise NotImplementedError

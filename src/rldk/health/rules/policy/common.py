"""What rules of the policy family share."""

from math import sqrt

from rldk.health.context import ONLINE
from rldk.health.reward_state import course
from rldk.health.rule import O_co, Rule, Severity, Verdict
from rldk.health.tracks import BASELINE, MIDDLE, Track
from rldk.health.trouble import Trouble
from rldk.metrics.aliases import ENTROPY, REWARD

__all__ = ["DOUBTFUL", "KL_SEQUENCE", "EntropyRule"]

KL_SEQUENCE = "kl_sequence_mean"
ERRORS = 4.0
"""Standard errors by which a level of entropy must differ from the run's own not to be noise."""
DOUBTFUL = 0.9
"""Largest effect of a level that may be noise: it can begin a finding, and cannot be one."""


class EntropyRule(Rule[O_co]):
    """What both entropy rules share: the metrics that they read, the run's own levels, and the verdict."""

    needs = (ENTROPY,)
    algorithms = ONLINE
    enable = "log the entropy: TRL does from 0.20 on"

    def start(self) -> None:
        self.entropy: Track = self.chart.track(ENTROPY)
        self.reward = self.chart.track(REWARD)
        self.gradient = self.chart.track("grad_norm")
        self.truncated = self.chart.track("truncated_frac")
        self.zero_std = self.chart.track("frac_reward_zero_std")
        self.early: float | None = None
        self.levels: tuple[tuple[float, float], ...] = ()

    def _levels(self) -> tuple[tuple[float, float], ...]:
        """The run's own levels so far: of the first 3 records, the first 5, and 5 to 25.

        Each comes with the errors of one record by which the median must differ from it not to be noise.
        """
        entropy = self.entropy
        if entropy.count > BASELINE[1]:
            return self.levels
        if self.early is None and entropy.count >= 3:
            self.early = entropy.median(3)
        levels = ((self.early, 3), (entropy.start if entropy.count >= 5 else None, 5), (entropy.baseline, 20))
        self.levels = tuple(
            (level, ERRORS * sqrt(1 / records + 1 / min(entropy.count, MIDDLE)))
            for level, records in levels
            if level is not None
        )
        return self.levels

    def _is_noise(self, own: float, errors: float) -> bool:
        """Whether the difference to an own level is within so many errors of one record."""
        entropy = self.entropy
        change = abs(entropy.middle - own)
        # The larger of two: a few blocks alone can be alike by chance.
        return change < errors * entropy.noise or change < errors * entropy.error(1)

    def _verdict(self, severity: Severity, trouble: Trouble, own: float, limit: float, verb: str) -> Verdict:
        reward, level, then = self.reward, self.entropy.middle, trouble.then
        paid = f", the reward {course(then.mean, reward.ema20)}" if then else ""
        return Verdict(
            severity=severity,
            message=f"entropy {verb} from {own:.2g} to {level:.2g} nats{paid}",
            evidence={
                "entropy": [own, level],
                "reward_mean": [then.mean, reward.ema20] if then else None,
            },
            onset=trouble.since,
            confidence=trouble.confidence,
            baseline=own,
            limit=limit,
        )

"""What rules of the policy family share."""

from rldk.health.context import ONLINE
from rldk.health.remedies import Remedy
from rldk.health.rule import O_co, Rule
from rldk.health.tracks import BASELINE, Streak, Track
from rldk.metrics.aliases import ENTROPY, REWARD

__all__ = ["KL_SEQUENCE", "LOWER_RATE", "EntropyRule"]

KL_SEQUENCE = "kl_sequence_mean"
LOWER_RATE = Remedy("lower `learning_rate`", scale=0.3, verl="lower actor_rollout_ref.actor.optim.lr")
"""The first remedy of most runs that move too fast."""


class EntropyRule(Rule[O_co]):
    """What both entropy rules share: the metrics that they read, and the run's own levels."""

    needs = (ENTROPY,)
    algorithms = ONLINE
    enable = "log the entropy: TRL does from 0.20 on"

    def start(self) -> None:
        self.entropy: Track = self.chart.track(ENTROPY)
        self.reward = self.chart.track(REWARD)
        self.gradient = self.chart.track("grad_norm")
        self.truncated = self.chart.track("truncated_frac")
        self.beyond = Streak()
        self.early: float | None = None
        self.levels: tuple[float, ...] = ()

    def _levels(self) -> tuple[float, ...]:
        """The run's own levels so far: of its first 3 records, its first 5, its records 5 to 25."""
        entropy = self.entropy
        if entropy.count > BASELINE[1]:
            return self.levels
        if self.early is None and entropy.count >= 3:
            self.early = entropy.median(3)
        levels = (self.early, entropy.start if entropy.count >= 5 else None, entropy.baseline)
        self.levels = tuple(level for level in levels if level is not None)
        return self.levels

    def _evidence(self, own: float) -> dict[str, object]:
        reward = self.reward
        return {
            "entropy": [own, self.entropy.ema10],
            "reward_mean": [reward.start, reward.ema20] if reward.count else None,
        }

    def _reward_text(self) -> str:
        reward = self.reward
        return f", the reward from {reward.start:.3g} to {reward.ema20:.3g}" if reward.count else ""

"""GEN007 stale-rollout: generation never sees the new weights.

Invariant: a difference is compared with the run's own first, and a reward that gains silences the rule.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import improving, in_noise
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.generation.common import GRPO_VLLM, SAMPLING_KL, SAMPLING_LOGP, SAMPLING_PROB
from rldk.health.tracks import Streak
from rldk.metrics.aliases import REWARD

__all__ = ["StaleRollout", "StaleRolloutOptions"]


class StaleRolloutOptions(RuleOptions, frozen=True):
    """Thresholds of stale-rollout."""

    correlation: float = 0.9
    """Least rank correlation of the difference with the step."""
    times: float = 5.0
    """Least level, as a multiple of the run's first level."""
    records: int = 50
    """Records before which it is silent."""


class StaleRollout(Rule[StaleRolloutOptions]):
    """Generation never sees the new weights.

    ## What it looks for
    A difference between engine and trainer that rises with every step, while the reward stays flat and
    there is a gradient.

    ## Why it matters
    The trainer learns from the completions of an older policy, and never sees the effect of its updates.

    ## How it decides
    Every tenth record, the rule looks at the last 100 records (at least 50). The difference has a rank
    correlation with the step of at least 0.9, and a level of at least five times the run's first. The reward
    was never above its start and does not improve: warning.

    ## What looks alike but is healthy
    Warm-up. Steps without a gradient prove nothing (verl#7413). A mismatch that grows slowly while the reward
    rises.

    ## What to do
    Let the engine score one fixed prompt before and after an update: its log-probability must change.

    ## Sources
    verl#7495 (36 times in two months), verl#3516; trl#5312 (sleep mode), trl#3189; ms-swift#8233 (adapter
    counted twice after a resume).
    """

    code, name, severity = "GEN007", "stale-rollout", Severity.WARNING
    needs = (f"{SAMPLING_LOGP}|{SAMPLING_PROB}|{SAMPLING_KL}",)
    algorithms = ONLINE
    enable = GRPO_VLLM

    def start(self) -> None:
        self.difference = self.chart.track(f"{SAMPLING_LOGP}|{SAMPLING_PROB}|{SAMPLING_KL}")
        self.reward = self.chart.track(REWARD)
        self.gradient = self.chart.track("grad_norm")
        self.risen = Streak()
        self.correlation = 0.0

    def observe(self, at: Observation) -> Verdict | None:
        difference = self.difference
        first = abs(difference.start)
        self.risen.feed(difference.count > 5 and abs(difference.ema20) >= 2 * first, at.step)
        if difference.count < self.options.records or abs(difference.ema20) < self.options.times * first:
            self.correlation = 0.0
            return None
        if difference.count % 10 == 0:
            self.correlation = _rank_correlation([abs(value) for value in difference.recent])
        if self.correlation < self.options.correlation or self.gradient.ema20 <= 1e-8:
            return None
        reward = self.reward
        if in_noise(reward, reward.best - reward.start) >= 1.5 or improving(reward):
            return None
        return Verdict(
            severity=Severity.WARNING,
            message=f"the difference between engine and trainer rises steadily, from {first:.2g} to "
            f"{abs(difference.ema20):.2g}, and the reward does not: the engine may keep old weights",
            evidence={
                "difference": [first, abs(difference.ema20)],
                "rank_correlation": self.correlation,
                "reward_mean": [self.reward.start, self.reward.ema20],
            },
            onset=self.risen.since,
            confidence=0.8,
            baseline=first,
            limit=self.options.times * first,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "new weights do not reach the engine: the adapter is not sent, or wake-up loads old ones",
                (
                    Remedy("score one fixed prompt in the engine before and after an update"),
                    Remedy("set `vllm_enable_sleep_mode=False` to test", verl="set model.lora.merge=True"),
                    Remedy("upgrade TRL and PEFT"),
                ),
                0.8,
            )
        ]


def _rank_correlation(values: list[float]) -> float:
    """Spearman's correlation of values with their order; 0 where all values are equal."""
    count = len(values)
    order = sorted(range(count), key=values.__getitem__)
    if count < 2 or values[order[0]] == values[order[-1]]:
        return 0.0
    squares = sum((rank - index) ** 2 for rank, index in enumerate(order))
    return 1.0 - 6.0 * squares / (count * (count * count - 1))

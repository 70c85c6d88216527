"""GEN004 length-collapse: answers shrink to almost nothing.

Invariant: a length is compared with the run's own start, and a reward that gains silences the rule.
"""

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import at_ceiling, course, gained, improving
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.tracks import Streak
from rldk.metrics.aliases import LENGTH, REWARD

__all__ = ["LengthCollapse", "LengthCollapseOptions"]


class LengthCollapseOptions(RuleOptions, frozen=True):
    """Thresholds of length-collapse."""

    share: float = 0.3
    """Share of the run's own length at or below which it is reported."""
    tokens: float = 5.0
    """Length below which half as many records are enough."""
    records: int = 10
    """Records in a row."""


class LengthCollapse(Rule[LengthCollapseOptions]):
    """Answers shrink to almost nothing.

    ## What it looks for
    The mean length far below the run's own, with a reward that does not gain.

    ## Why it matters
    A policy that ends at once earns nothing and cannot recover.

    ## How it decides
    The mean of ten records is at most 0.3 times the run's own length, for ten records. Or it is below five
    tokens for five records, where the own length was at least 20. The own length is the mean of the first
    five records, or the median of records 5 to 25 if that is larger. Warning if the reward is not above its
    start, not improving and not at its ceiling.

    ## What looks alike but is healthy
    A reward for brevity, or a task with answers of one token: the reward rises, or the length was short from
    the start.

    ## What to do
    Read three completions; require a minimum length in the reward, not in generation.

    ## Sources
    A public log that goes from 178 to 3 tokens; nexus-coder-alpha (1.15 tokens, reward 0, gradient 0); TRL
    how_to_train.
    """

    code, name, severity = "GEN004", "length-collapse", Severity.WARNING
    needs = (LENGTH,)
    algorithms = ONLINE
    enable = "log the mean length of completions"
    explained_by = ("kl-blowup", "gradient-spike")
    shown_by = ("before", "shortest-since")

    def start(self) -> None:
        self.length = self.chart.track(LENGTH)
        self.reward = self.chart.track(REWARD)
        self.short, self.empty = Streak(), Streak()

    def observe(self, at: Observation) -> Verdict | None:
        length = self.length
        own = max(length.start, length.baseline or 0.0)
        short = self.short.feed(length.count > 5 and length.ema10 <= self.options.share * own, at.step)
        empty = self.empty.feed(length.last < self.options.tokens and own >= 20, at.step)
        if short < self.options.records and empty < self.options.records / 2:
            return None
        reward = self.reward
        if reward.count and (gained(reward, sd=0.5) or improving(reward) or at_ceiling(reward)):
            return None
        return Verdict(
            severity=Severity.WARNING if reward.count else Severity.INFO,
            message=f"completions shrank from {own:.0f} to {length.mean(5):.3g} tokens"
            + (f", the reward {course(reward.start, reward.ema10)}" if reward.count else ""),
            evidence={
                LENGTH: [own, length.mean(5)],
                "reward_mean": [reward.start, reward.ema10] if reward.count else None,
            },
            onset=self.empty.since if empty else self.short.since,
            confidence=0.9 if empty else 0.7,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "an update taught the policy to end at once",
                (
                    Remedy("lower `learning_rate`", scale=0.3, verl="lower actor_rollout_ref.actor.optim.lr"),
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
                ),
                0.6,
            ),
            Cause(
                "the reward punishes length too much",
                (Remedy("give no reward below a minimum length"),),
                0.5,
            ),
            Cause(
                "the engine returns nothing, or the template ends the answer",
                (Remedy("set `log_completions=True` and read three completions"),),
                0.4,
            ),
        ]

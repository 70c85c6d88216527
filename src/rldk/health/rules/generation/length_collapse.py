"""GEN004 length-collapse: answers shrink to almost nothing.

Invariant: a length is compared with the run's own start. A reward that gains takes away most of the score,
and never all of it.
"""

from math import exp

from rldk.health.context import ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import course
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.generation.common import PAID, growth, least_growth
from rldk.health.trouble import MIDDLE_LAG, Trouble
from rldk.metrics.aliases import LENGTH, REWARD

__all__ = ["LengthCollapse", "LengthCollapseOptions"]


class LengthCollapseOptions(RuleOptions, frozen=True):
    """Thresholds of length-collapse."""

    share: float = 0.3
    """Share of the run's own length that is a warning while the reward stands."""
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
    The median of eleven records, as a share of the run's own length, for ten records; for five below five
    tokens, where the own length was at least 20. The own length is the mean of the first five records, or the
    median of records 5 to 25 if that is larger. The score is 1 at 0.3 of it, or where the logarithm of the
    fall is 2.5 times its noise, if that is more. Each further such fall adds 1; see
    [severity](../severity.md). A reward that gained since then takes away up to seven tenths. From a score of
    1 on it is a warning, info where only the gain keeps it below.

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
        self.shorter = Trouble(
            self.reward, records=self.options.records, discount=PAID, lag=MIDDLE_LAG, enough=self.enough
        )

    def observe(self, at: Observation) -> Verdict | None:
        length, trouble, options = self.length, self.shorter, self.options
        own = max(length.start, length.baseline or 0.0)
        if length.count <= 5 or own <= 0:
            return None
        empty = own >= 4 * options.tokens and length.middle < options.tokens
        severity = trouble.feed(
            growth(own, max(length.middle, 1e-3 * own), 1 / options.share, length),
            at.step,
            records=self.enough(options.records) / 2 if empty else None,
        )
        self.score = trouble.score
        if severity is None:
            return None
        reward, then = self.reward, trouble.then
        return Verdict(
            severity=min(severity, Severity.WARNING),
            message=f"completions shrank from {own:.0f} to {length.middle:.3g} tokens"
            + (f", the reward {course(then.mean, reward.ema20)}" if then else ""),
            evidence={
                LENGTH: [own, length.middle],
                "reward_mean": [then.mean, reward.ema20] if then else None,
            },
            onset=trouble.since,
            confidence=trouble.confidence,
            baseline=own,
            limit=own * exp(-least_growth(1 / options.share, length)),
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "an update taught the policy to end at once",
                (
                    self.chart.step_size.lower(0.3),
                    Remedy("set `beta` to 0.04", up_to=0.04, verl="raise actor.kl_loss_coef"),
                ),
                self.chart.step_size.blame(0.6),
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

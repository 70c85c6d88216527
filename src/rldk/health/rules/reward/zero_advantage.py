"""REW001 zero-advantage: in most groups all completions score the same, so their advantage is 0 and they
teach nothing.

Invariant: a solved task is no failure: near the reward's ceiling it is only information.
"""

import math

from rldk.health.context import GROUPED
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.reward_state import at_ceiling, improving
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.common import is_constant, is_early
from rldk.health.tracks import Streak
from rldk.metrics.aliases import REWARD, TRUNCATED

__all__ = ["ZeroAdvantage", "ZeroAdvantageOptions"]

ZERO_STD = "frac_reward_zero_std"
SMALL_GROUP = 3
"""Completions a prompt up to which a few more groups without advantage are chance."""


class ZeroAdvantageOptions(RuleOptions, frozen=True):
    """Thresholds of zero-advantage."""

    share: float = 0.8
    """Mean share over 20 records from which it is reported."""
    critical_share: float = 0.95
    """Mean share over 10 records from which it is critical, where the gradient is 0 too."""
    solved_reward: float = 0.75
    """A reward between 0 and 1 above this counts as near its ceiling."""


class ZeroAdvantage(Rule[ZeroAdvantageOptions]):
    """In most groups all completions score the same, so their advantage is 0 and they teach nothing.

    ## What it looks for
    `frac_reward_zero_std`, the share of completions whose group has rewards without spread, high for
    many records, on a task that is not solved.

    ## Why it matters
    GRPO and RLOO learn from differences within a group. A group without differences teaches nothing; at a
    share of 1.0 the gradient is exactly 0.

    ## How it decides
    The mean of 20 records is at least 0.8: warning. At least 0.95 over 10 records with a median gradient norm
    below 1e-8: critical, from 500 scored completions on (60 records where the batch size is not known). If
    the reward has never changed until then, dead-reward reports it instead. It is info while the reward still
    rises, and where it is near its ceiling: it rose and is at its best, or is between 0 and 1 and above 0.75.

    ## What looks alike but is healthy
    A solved task: the fraction goes to 1 because everything is right. Small groups: with G completions and
    a success rate of p the expected share is p^G + (1-p)^G, 0.5 at best for G=2. That is a lower bound,
    since prompts differ in difficulty, so it can only excuse: a share below 1.25 times it is not reported,
    nor, where G is 3 or less, one below 0.9 or less than 0.2 above it.

    ## What to do
    Raise `num_generations`; give partial credit; drop prompts that are always or never solved; sample at
    temperature 1.

    ## Sources
    trl#3857, trl#4764, trl#3708; DAPO (arXiv 2503.14476), which filters such groups; arXiv 2605.21125
    (early share against final accuracy, R2 = 0.62 over 245 configurations); public logs.
    """

    code, name, severity = "REW001", "zero-advantage", Severity.CRITICAL
    needs = (ZERO_STD, REWARD)
    algorithms = GROUPED
    enable = "train with GRPO or RLOO of TRL, which log frac_reward_zero_std"
    explained_by = (
        "missing-rewards",
        "duplicate-completions",
        "eos-mismatch",
        "truncation",
        "length-collapse",
        "dead-reward",
        "reward-collapse",
        "entropy-collapse",
    )
    shown_by = ("reward-values",)
    answers = ("reward-std-zero", "groups-without-spread")

    def start(self) -> None:
        self.share = self.chart.track(ZERO_STD)
        self.reward = self.chart.track(REWARD)
        self.gradient = self.chart.track("grad_norm")
        self.truncated = self.chart.track(TRUNCATED)
        self.high = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        share = self.share
        early = is_early(self.context, self.reward, at.step)
        held = self.high.feed(share.last >= 0.5, at.step)
        if held < 10 or share.ema20 < self.options.share:
            return None
        dead = share.mean(10) >= self.options.critical_share and self._no_gradient()
        if (share.count < 15 and not dead) or (early and is_constant(self.reward)):
            return None  # a reward with one value from the start: dead-reward reports it
        level = share.mean(20)
        expected = self._expected()
        small = (self.context.number("num_generations") or math.inf) <= SMALL_GROUP
        if level < max(self.options.share, 1.25 * expected, max(expected + 0.2, 0.9) if small else 0.0):
            return None
        reward = self.reward
        evidence = {ZERO_STD: [round(share.start, 4), round(level, 4)], "reward_mean": reward.ema20}
        if self._near_ceiling() or (improving(reward) and level < self.options.critical_share):
            return Verdict(
                severity=Severity.INFO,
                message=f"{level:.0%} of the completions have no advantage because most prompts are "
                f"solved: the reward is at {reward.ema20:.3g}",
                evidence=evidence,
                onset=self.high.since,
                confidence=0.9,
            )
        return Verdict(
            severity=Severity.CRITICAL if dead and not early else Severity.WARNING,
            message=f"{level:.0%} of the completions (mean of 20 records) score the same as the rest of "
            "their group and teach nothing" + ("; the gradient is 0" if dead else ""),
            evidence=evidence,
            onset=self.high.since,
            confidence=min(0.6 + (level - self.options.share) * 1.5, 0.95),
        )

    def causes(self) -> list[Cause]:
        cut = self.truncated.ema20 if self.truncated.count else 0.0
        low = self.reward.ema20 <= self.reward.low + 0.1 * (self.reward.high - self.reward.low)
        return [
            Cause(
                "completions are cut before the answer",
                (Remedy("raise `max_completion_length`", scale=2, verl="raise data.max_response_length"),),
                cut,
            ),
            Cause(
                "the task is too hard: no completion of a group succeeds",
                (
                    Remedy("give partial credit in the reward, or start from easier prompts"),
                    Remedy(
                        "set `num_generations` to 16",
                        up_to=16,
                        verl="raise actor_rollout_ref.rollout.n, or filter such groups: "
                        "algorithm.filter_groups.enable=True",
                    ),
                ),
                0.7 if low else 0.3,
            ),
            Cause(
                "the reward is too coarse, or the prompts are always or never solved",
                (
                    Remedy("filter prompts by their pass rate, or give partial credit"),
                    Remedy("set `scale_rewards='batch'`"),
                ),
                0.4,
            ),
            Cause("sampling is too cold", (Remedy("set `temperature` to 1.0", up_to=1.0),), 0.35),
        ]

    def _expected(self) -> float:
        group = self.context.number("num_generations")
        reward = self.reward
        low = 0.0 if reward.low >= 0 else -1.0  # right and wrong may be 1 and 0, or 1 and -1
        if group is None or reward.low < low or reward.high > 1:
            return 0.0
        p = min(max((reward.ema20 - low) / (1.0 - low), 0.0), 1.0)
        return float(p**group + (1 - p) ** group)

    def _near_ceiling(self) -> bool:
        reward = self.reward
        bounded = reward.low >= -1e-9 and reward.high <= 1 + 1e-9
        return at_ceiling(reward) or (bounded and reward.ema20 >= self.options.solved_reward)

    def _no_gradient(self) -> bool:
        return self.gradient.count > 0 and self.gradient.median(10) < 1e-8

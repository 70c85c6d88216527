"""REW001 zero-advantage: in most groups all completions score the same, so their advantage is 0 and they
teach nothing.

Invariant: groups are counted, not records; a task that is solved is only information, and no level of the
reward says that it is.
"""

from itertools import pairwise
from math import ceil, inf

from rldk.health.context import GROUPED
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import changed_here, reused, temperature, too_fast
from rldk.health.rules.common import is_constant, is_early
from rldk.health.tracks import WINDOW, Streak
from rldk.metrics.aliases import REWARD, TRUNCATED

__all__ = ["ZeroAdvantage", "ZeroAdvantageOptions"]

ZERO_STD = "frac_reward_zero_std"
LATELY = 10
"""Newest records whose noise says whether prompts still differ."""
STEADY = 0.15
"""Share of the largest spread, or of the rise, below which the noise of a reward is that of a solved task:
where prompts are right and others wrong, it varies from record to record."""
RARE = 0.01
"""Share of right completions below which their rareness is the fault itself, and excuses nothing."""
SMALL_GROUP = 3
"""Completions a prompt up to which a few more groups without advantage are chance."""


class ZeroAdvantageOptions(RuleOptions, frozen=True):
    """Thresholds of zero-advantage."""

    share: float = 0.8
    """Mean share over 20 records from which it is reported."""
    critical_share: float = 0.95
    """Mean share over 10 records from which it is critical, where the gradient is 0 too."""
    groups: int = 40
    """Least number of groups over which the share is a mean."""


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
    below 1e-8: critical, from 500 scored completions on (60 records where the batch size is not known). The
    first mean is of 40 groups at least, the second of 20. The smallest share so far says how many groups a
    record has. With one, that many records are needed, because ten such groups in a row are chance. If the
    reward has never changed until then, dead-reward reports it instead.

    It is info while the reward gains three standard errors over 40 records, and where the task is solved. The
    reward then rose by four standard errors and is within a fifth of that rise, or three errors, of its best,
    while `reward_std` is below three quarters of its highest. Or the reward is within a tenth of that highest
    spread of its own highest record, and the spread fell to half. In both cases the reward varies little
    from record to record, by 0.15 of that spread or of the rise: else some prompts are right, others wrong.

    ## What looks alike but is healthy
    A solved task: the fraction goes to 1 because everything is right. Small groups: with G completions and
    a success rate of p the expected share is p^G + (1-p)^G, 0.5 at best for G=2. The p of the best level
    counts where that expects fewer: a reward that died is no rare success. Where fewer than one completion in
    a hundred is right, from 500 scored completions on, chance excuses nothing. It is a lower bound, since
    prompts differ in difficulty, so it can only excuse. A share below 1.25 times it is not reported, nor,
    where G is 3 or less, one below 0.9 or less than 0.2 above it.

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
        "sampling-temperature",
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
        self.group = self.context.number("num_generations")
        self.share = self.chart.track(ZERO_STD)
        self.reward = self.chart.track(REWARD)
        self.gradient = self.chart.track("grad_norm")
        self.truncated = self.chart.track(TRUNCATED)
        self.spread = self.chart.track("reward_std")
        self.finest = 1.0
        """The smallest share or rest of one so far: one group of a record."""
        self.high = Streak()

    def observe(self, at: Observation) -> Verdict | None:
        share = self.share
        for part in (share.last, 1.0 - share.last):
            if 1e-6 < part < self.finest:
                self.finest = part
        records = min(max(ceil(self.options.groups * self.finest), 10), WINDOW)
        few = max(records // 2, 10)  # enough where not one group has an advantage
        smooth = share.ema20 if records <= 20 else share.ema50
        held = self.high.feed(smooth >= 0.5, at.step)
        if held < 10 or smooth < self.options.share or share.count < few:
            return None
        early = is_early(self.context, self.reward, at.step)
        dead = share.mean(few) >= self.options.critical_share and self._no_gradient()
        if (share.count < max(records, 15) and not dead) or (early and is_constant(self.reward)):
            return None  # a reward with one value from the start: dead-reward reports it
        window = min(max(records, 20), share.count)
        level = share.mean(window)
        expected = self._expected(early=early)
        small = (self.group or inf) <= SMALL_GROUP
        if level < max(self.options.share, 1.25 * expected, max(expected + 0.2, 0.9) if small else 0.0):
            return None
        reward = self.reward
        evidence = {ZERO_STD: [round(share.start, 4), round(level, 4)], "reward_mean": reward.ema20}
        solved = self._is_solved()
        if solved or (self._improves() and level < self.options.critical_share):
            reason = "because most prompts are solved" if solved else "while the reward still gains"
            return Verdict(
                severity=Severity.INFO,
                message=f"{level:.0%} of the completions have no advantage {reason}: "
                f"the reward is at {reward.ema20:.3g}",
                evidence=evidence,
                onset=self.high.since,
                confidence=0.9,
                limit=self.options.share,
            )
        return Verdict(
            severity=Severity.CRITICAL if dead and not early else Severity.WARNING,
            message=f"{level:.0%} of the completions (mean of {window} records) score the same as the rest "
            "of their group and teach nothing" + ("; the gradient is 0" if dead else ""),
            evidence=evidence,
            onset=self.high.since,
            confidence=min(0.6 + (level - self.options.share) * 1.5, 0.95),
            limit=self.options.share,
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
            temperature(self.context, 0.35),
            *(self._after_a_collapse() if low and self._fell() else ()),
        ]

    def _fell(self) -> bool:
        """Whether the reward lost most of the way between its lowest and its highest mean."""
        reward = self.reward
        way = reward.high - reward.low
        return way > 0 and max(reward.best, reward.first) - reward.ema20 >= 0.4 * way

    def _after_a_collapse(self) -> tuple[Cause, ...]:
        """What made the reward fall: that no group has a spread is what it left."""
        text = "updates are too large: what earned rewards is lost"
        return (
            too_fast(self.chart, text, 0.75, self.high.since),
            changed_here(self.chart, self.high.since),
            reused(self.context),
        )

    def _expected(self, *, early: bool) -> float:
        """The share of groups without spread that chance explains, 0 to 1; 0 where nothing is excused."""
        group, reward = self.group, self.reward
        low = 0.0 if reward.low >= 0 else -1.0  # right and wrong may be 1 and 0, or 1 and -1
        if group is None or reward.low < low or reward.high > 1:
            return 0.0
        # A reward that was there and is gone is no rare success: the best level says what is possible.
        if not early and max(reward.ema20, reward.best) - low < RARE * (1.0 - low):
            return 0.0
        levels = [min(max((value - low) / (1.0 - low), 0.0), 1.0) for value in (reward.ema20, reward.best)]
        return float(min(p**group + (1 - p) ** group for p in levels))

    def _is_solved(self) -> bool:
        """Whether groups have no spread because the best is reached: by rise or spread, not by a level.

        The reward rose and is at its best; or it is as near to its highest record as a tenth of the largest
        spread, and the spread went down to half.
        """
        reward, spread = self.reward, self.spread
        rise = reward.best - reward.start
        if _noise(reward.tail(LATELY)) > STEADY * max(spread.high, rise):
            return False
        kept = reward.best - max(reward.ema10, reward.ema20) <= max(0.2 * rise, 3 * reward.error(10))
        if rise >= 4 * reward.error(10) and kept:
            return not spread.count or spread.ema10 <= 0.75 * spread.high
        near = reward.high - reward.ema10 <= 0.1 * spread.high
        return spread.high > 0 and near and spread.ema10 <= 0.5 * spread.high

    def _improves(self) -> bool:
        """Whether the reward gained three standard errors over 40 records."""
        return self.reward.count > 20 and self.reward.gain(40) >= 3 * self.reward.error(20)

    def _no_gradient(self) -> bool:
        return self.gradient.count > 0 and self.gradient.median(10) < 1e-8


def _noise(values: list[float]) -> float:
    """Standard deviation from record to record, as `Track.noise`."""
    changes = [abs(after - before) for before, after in pairwise(values)]
    return 0.886 * sum(changes) / max(len(changes), 1)

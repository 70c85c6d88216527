"""REW002 dead-reward: every completion gets one reward, from the first record on or all at once.

Invariant: a task that the run solved is not reported: a policy gets there by degrees.
"""

from rldk.health.context import GROUPED, ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import CHECK_REWARD, temperature
from rldk.health.rules.common import COMPLETIONS, is_early
from rldk.health.tracks import Streak
from rldk.metrics.aliases import REWARD, TRUNCATED

__all__ = ["DeadReward", "DeadRewardOptions"]

TRIFLE = 1e-6
"""Share of the largest spread that counts as none: logs are rounded."""
BEFORE = 5
"""Records whose mean stands for the reward before it became the same for all."""


class DeadRewardOptions(RuleOptions, frozen=True):
    """Thresholds of dead-reward."""

    records: int = 10
    """Records with one value from which it is reported."""
    completions: int = COMPLETIONS
    """Scored completions from which it is critical."""
    jump: float = 0.5
    """Least change between two records, in `reward_std` before it, that no policy makes."""


class DeadReward(Rule[DeadRewardOptions]):
    """Every completion gets one reward, from the first record on or all at once: nothing can be learned.

    ## What it looks for
    A reward that is the same, within 1e-9, in every record from the first on; or that became so between two
    records.

    ## Why it matters
    Advantages, loss and gradient are 0, and the run wastes its hours.

    ## How it decides
    Ten records with one value and no spread of the rewards within the batch: warning, since nothing has been
    learned so far; critical from 500 scored completions on, or from 60 records where the batch size is not
    known. Where the spread is not logged, 25 records: a warning at most. The rule is then silent if a
    gradient norm above 0 shows that the rewards of a group differ.

    Ten records with one value and no spread later in the run: warning, where the mean of the five records
    before differs from that value by half of their `reward_std`, and the spread of the last of them was at
    least half of its mean. A policy that solves its task has less and less spread before it has none.

    ## What looks alike but is healthy
    A sparse reward that no completion has earned yet: hence the 500 completions. A reward that is centred in
    each batch, such as a judge's rank: its mean is 0, its spread is not. A solved task: its reward reached
    the top by degrees.

    ## What to do
    Print three completions and the text that the reward function parsed from them; run it on gold answers.

    ## Sources
    trl#5697 (97 to 99% cut at 256 tokens), open-r1#363, open-r1#255.
    """

    code, name, severity = "REW002", "dead-reward", Severity.CRITICAL
    needs = (REWARD,)
    algorithms = ONLINE
    enable = "log the reward"
    explained_by = (
        "sampling-temperature",
        "broken-start",
        "eos-mismatch",
        "truncation",
        "length-collapse",
        "reward-collapse",
    )
    shown_by = ("reward-values",)
    answers = ("reward-std-zero",)

    def start(self) -> None:
        self.reward = self.chart.track(REWARD)
        self.spread = self.chart.track("reward_std")
        self.gradient = self.chart.track("grad_norm")
        self.truncated = self.chart.track(TRUNCATED)
        self.begin: int | None = None
        self.same = Streak()
        self.before: tuple[float, float] | None = None
        """The reward before it became the same for all, if it did so between two records, and its spread."""

    def observe(self, at: Observation) -> Verdict | None:
        reward = self.reward
        if self.begin is None:
            self.begin = at.step
        since = self._since(at.step)
        if since is not None:
            return since
        needed = self.options.records if self.spread.count else 2.5 * self.options.records
        if reward.count < needed or max(reward.high - reward.low, self.spread.high) > 1e-9:
            return None
        if not self.spread.count and self._has_gradient():
            return None
        early = is_early(self.context, reward, at.step, self.options.completions)
        certain = self.spread.count > 0 and not early
        return Verdict(
            severity=Severity.CRITICAL if certain else Severity.WARNING,
            message=f"each of the first {reward.count} records has a reward of {reward.first:.4g}: nothing "
            "can be learned from that",
            evidence={"reward_mean": [reward.low, reward.high], "records": reward.count},
            onset=self.begin,
            confidence=0.95 if certain else 0.7,
            baseline=reward.first,
        )

    def _since(self, step: int) -> Verdict | None:
        """The verdict on a reward that became the same for all between two records."""
        reward, spread = self.reward, self.spread
        nothing = TRIFLE * max(spread.high, reward.high - reward.low)  # no unit of the reward decides
        flat = spread.count == reward.count > BEFORE and spread.last <= nothing
        same = flat and abs(reward.last - reward.recent[-2]) <= nothing
        held = self.same.feed(same, step)
        if held == 1:
            # The record before this one is the first with this value.
            values, spreads = reward.tail(BEFORE + 2)[:BEFORE], spread.tail(BEFORE + 2)[:BEFORE]
            level, usual = sum(values) / len(values), sum(spreads) / len(spreads)
            sudden = abs(reward.last - level) >= self.options.jump * usual > 0 and spreads[-1] >= 0.5 * usual
            self.before = (level, usual) if sudden else None
        if self.before is None or held < self.options.records:
            return None
        level, usual = self.before
        return Verdict(
            severity=Severity.WARNING,
            message=f"every completion has had the same reward, {reward.last:.4g}, since step "
            f"{self.same.since}: it was {level:.3g} (spread {usual:.2g}) until then, and no policy changes "
            "so between two records",
            evidence={"reward_mean": [level, reward.last], "reward_std": [usual, spread.last]},
            onset=self.same.since,
            confidence=0.85,
            baseline=level,
        )

    def _has_gradient(self) -> bool:
        """Whether a gradient shows that rewards differ: a critic or an environment makes one without them."""
        grouped = self.context.algorithm is None or self.context.algorithm in GROUPED
        return grouped and self.gradient.count > 0 and self.gradient.median(20) > 1e-8

    def causes(self) -> list[Cause]:
        level = self.reward.last
        cut = self.truncated.ema20 if self.truncated.count else 0.0
        return [
            temperature(self.context),
            Cause(
                "completions are cut before the answer",
                (Remedy("raise `max_completion_length`", scale=2, verl="raise data.max_response_length"),),
                0.95 if cut >= 0.9 else cut * 0.6,
            ),
            Cause(
                "the reward function gives every completion the same: its parser, its pattern or its dataset "
                "column is wrong",
                (
                    CHECK_REWARD,
                    Remedy("set `log_completions=True` and read three completions"),
                ),
                0.9,
            ),
            Cause(
                "the task is far too hard, or the chat template is wrong, so no completion succeeds"
                if level <= 0
                else "the reward function's check is always true",
                (Remedy("give partial credit, or start from easier prompts"),) if level <= 0 else (),
                0.5,
            ),
        ]

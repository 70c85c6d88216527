"""REW002 dead-reward: the reward has had one value since the first record: nothing can be learned from it.

Invariant: a reward that ever had another value is not dead: a task that the run solved is not reported.
"""

from rldk.health.context import GROUPED, ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import CHECK_REWARD, temperature
from rldk.health.rules.common import COMPLETIONS, is_early
from rldk.metrics.aliases import REWARD, TRUNCATED

__all__ = ["DeadReward", "DeadRewardOptions"]


class DeadRewardOptions(RuleOptions, frozen=True):
    """Thresholds of dead-reward."""

    records: int = 10
    """Records with one value from which it is reported."""
    completions: int = COMPLETIONS
    """Scored completions from which it is critical."""


class DeadReward(Rule[DeadRewardOptions]):
    """The reward has had one value since the first record: nothing can be learned from it.

    ## What it looks for
    A reward that is the same, within 1e-9, in every record from the first on.

    ## Why it matters
    Advantages, loss and gradient are 0, and the run wastes its hours.

    ## How it decides
    Ten records with one value and no spread of the rewards within the batch: warning, since nothing has been
    learned so far; critical from 500 scored completions on, or from 60 records where the batch size is not
    known. Where the spread is not logged, 25 records: a warning at most. The rule is then silent if a
    gradient norm above 0 shows that the rewards of a group differ.

    ## What looks alike but is healthy
    A sparse reward that no completion has earned yet: hence the 500 completions. A reward that is centred in
    each batch, such as a judge's rank: its mean is 0, its spread is not. A solved task: the reward was lower
    before, so this rule is silent.

    ## What to do
    Print three completions and the text that the reward function parsed from them; run it on gold answers.

    ## Sources
    trl#5697 (97 to 99% cut at 256 tokens), open-r1#363, open-r1#255.
    """

    code, name, severity = "REW002", "dead-reward", Severity.CRITICAL
    needs = (REWARD,)
    algorithms = ONLINE
    enable = "log the reward"
    explained_by = ("broken-start", "eos-mismatch", "truncation", "length-collapse", "reward-collapse")
    shown_by = ("reward-values",)
    answers = ("reward-std-zero",)

    def start(self) -> None:
        self.reward = self.chart.track(REWARD)
        self.spread = self.chart.track("reward_std")
        self.gradient = self.chart.track("grad_norm")
        self.truncated = self.chart.track(TRUNCATED)
        self.begin: int | None = None

    def observe(self, at: Observation) -> Verdict | None:
        reward = self.reward
        if self.begin is None:
            self.begin = at.step
        needed = self.options.records if self.spread.count else 2.5 * self.options.records
        if reward.count < needed or max(reward.high - reward.low, self.spread.high) > 1e-9:
            return None
        if not self.spread.count and self._has_gradient():
            return None
        early = is_early(self.context, reward, at.step, self.options.completions)
        certain = self.spread.count > 0 and not early
        return Verdict(
            severity=Severity.CRITICAL if certain else Severity.WARNING,
            message=f"the reward has been {reward.first:.4g} in every record since the first: nothing "
            "has been learned so far",
            evidence={"reward_mean": [reward.low, reward.high], "records": reward.count},
            onset=self.begin,
            confidence=0.95 if certain else 0.7,
        )

    def _has_gradient(self) -> bool:
        """Whether a gradient shows that rewards differ: a critic or an environment makes one without them."""
        grouped = self.context.algorithm is None or self.context.algorithm in GROUPED
        return grouped and self.gradient.count > 0 and self.gradient.median(20) > 1e-8

    def causes(self) -> list[Cause]:
        level = self.reward.first
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

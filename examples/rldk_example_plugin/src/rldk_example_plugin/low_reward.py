"""MY001 low-reward: the reward stays below a level that the task is known to reach.

Invariant: a run that has only begun is not judged.
"""

from rldk import Cause, Observation, Remedy, Rule, RuleOptions, Severity, Verdict

__all__ = ["LowReward", "LowRewardOptions"]


class LowRewardOptions(RuleOptions, frozen=True):
    """Thresholds of low-reward."""

    least: float = 0.5
    """Mean of ten records below which the reward is low."""
    records: int = 100
    """Train records after which the reward should be there."""


class LowReward(Rule[LowRewardOptions]):
    """The reward stays below a level that the task is known to reach.

    ## What it looks for
    A smoothed reward below `least`, once the run has had time to learn.

    ## Why it matters
    On a task whose reward is known, a run that stays below it wastes its machine.

    ## How it decides
    The mean of ten records is below `least` after `records` train records: warning.

    ## What looks alike but is healthy
    A harder data set, and a reward on another scale: set `least` to what the task reaches.

    ## What to do
    Look at the samples, then at the learning rate.

    ## Sources
    Your own runs of the task.
    """

    code, name, severity = "MY001", "low-reward", Severity.WARNING
    needs = ("reward_mean",)
    enable = "log the reward"
    explained_by = ("truncation", "dead-reward")
    shown_by = ("since",)

    def start(self) -> None:
        """Ask for the track of the reward."""
        self.reward = self.chart.track("reward_mean")

    def observe(self, at: Observation) -> Verdict | None:
        """Whether the reward is low at this record."""
        reward, options = self.reward, self.options
        if reward.count < options.records or reward.ema10 >= options.least:
            return None
        return Verdict(
            severity=Severity.WARNING,
            message=f"the reward is {reward.ema10:.3g} at step {at.step}, below {options.least:g}",
            evidence={"reward_mean": reward.ema10},
        )

    def causes(self) -> list[Cause]:
        """A learning rate that is too low is the usual cause of a slow run."""
        return [Cause("the policy learns too slowly", (Remedy("raise `learning_rate`", scale=3),))]

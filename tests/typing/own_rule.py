"""What a type checker says of a rule.

Checked by `mypy` and not collected by pytest; an ignore that is not needed is an error.
"""

from rldk.health import RULES, Observation, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.policy.entropy_collapse import EntropyCollapse


class LowRewardOptions(RuleOptions, frozen=True):
    """Thresholds of low-reward."""

    least: float = 0.5
    """Mean of ten records below which the reward is low."""


class LowReward(Rule[LowRewardOptions]):
    """The reward is low."""

    code, name, severity = "MY001", "low-reward", Severity.WARNING
    needs = ("reward_mean",)
    shown_by = ("before", "since")
    answers = ("loss-near-zero",)

    def start(self) -> None:
        """Ask for the reward."""
        self.reward = self.chart.track("reward_mean")

    def observe(self, at: Observation) -> Verdict | None:
        """Options have types, and one that does not exist is an error."""
        least: float = self.options.least
        self.options.lest  # type: ignore[attr-defined]  # noqa: B018 - that it fails is the test
        if self.reward.ema10 >= least:
            return None
        return Verdict(severity=Severity.WARNING, message=f"low at step {at.step}", evidence={})


class WithoutThresholds(Rule):
    """A rule without brackets has no options."""

    code, name, severity = "MY002", "without-thresholds", Severity.INFO
    shown_by = ("befor",)  # type: ignore[assignment]

    def observe(self, at: Observation) -> Verdict | None:
        """There is nothing to misspell."""
        self.options.least  # type: ignore[attr-defined]  # noqa: B018 - that it fails is the test
        return None


def share_of(rule: EntropyCollapse) -> float:
    """The rules of rldk are typed in the same way."""
    return rule.options.share


rules: tuple[type[Rule], ...] = (*RULES, LowReward, WithoutThresholds)

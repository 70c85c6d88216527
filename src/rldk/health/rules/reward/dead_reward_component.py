"""REW004 dead-reward-component: a single reward function gives every completion the same reward.

Invariant: the rule reads a function's metrics `rewards/{function}/mean` and `/std`, of at most
`MAX_FUNCTIONS` functions.
"""

from rldk.health.remedies import Remedy
from rldk.health.reward_state import course
from rldk.health.rule import Cause, RuleOptions, Severity, Verdict
from rldk.health.rules.causes import LOOPHOLE
from rldk.health.rules.reward.common import MEAN, PREFIX, RewardFunctionRule
from rldk.metrics.aliases import REWARD

__all__ = ["DeadRewardComponent", "DeadRewardComponentOptions"]


class DeadRewardComponentOptions(RuleOptions, frozen=True):
    """Thresholds of dead-reward-component."""

    records: int = 50
    """Records in a row without spread."""


class DeadRewardComponent(RewardFunctionRule[DeadRewardComponentOptions]):
    """A single reward function gives every completion the same reward.

    ## What it looks for
    `rewards/{function}/std` exactly 0 while another function's is not.

    ## Why it matters
    The policy does not learn what that function rewards, and the total hides it.

    ## How it decides
    Fifty records in a row without spread, and a mean that is not above its start, while another function has
    spread: info. A warning where the function had spread before and its mean fell, while the total reward is
    above its start: the policy gave up what that function rewards.

    ## What looks alike but is healthy
    A format reward that has reached its maximum is solved, not dead: its mean rose. A function that returns
    None for most rows is sparse by design.

    ## What to do
    Run that function on a good and a bad answer; correct its pattern, or drop it.

    ## Sources
    open-r1#255, trl#3857; a public run whose two format rewards were 0 in all 250 records because of their
    regular expressions while the total rose.
    """

    code, name, severity = "REW004", "dead-reward-component", Severity.WARNING
    shown_by = ("reward-values",)
    shown_on = ("rewards/*/mean", "rewards/*/std")

    def start(self) -> None:
        super().start()
        self.total = self.chart.track(REWARD)
        self.given_up: list[str] = []

    def judge(self) -> Verdict | None:
        records = self.options.records
        flat = [
            name for name, std in self.stds.items() if std.count >= records and max(std.tail(records)) < 1e-9
        ]
        dead = [name for name in flat if self.means[name].ema20 <= self.means[name].start + 1e-9]
        if not dead or len(flat) == len(self.stds):
            return None
        levels = {name: self.means[name].ema20 for name in dead}
        self.given_up = [name for name in dead if self._is_given_up(name)]
        rises = self.total.ema20 - self.total.start > 3 * self.total.error(5)
        texts = ", ".join(
            f"{name} (from {self.means[name].start:.3g} to {level:.3g})"
            if name in self.given_up
            else f"{name} (always {level:.3g})"
            for name, level in levels.items()
        )
        return Verdict(
            severity=Severity.WARNING if self.given_up and rises else Severity.INFO,
            message=f"gives every completion the same reward: {texts}"
            + (f", while the reward {course(self.total.start, self.total.ema20)}" if self.given_up else ""),
            evidence={f"{PREFIX}{name}{MEAN}": level for name, level in levels.items()},
            onset=self.last.onset if self.last else self.window[0],
            confidence=0.8,
            baseline=self.means[dead[0]].start,
        )

    def _is_given_up(self, name: str) -> bool:
        """Whether the function gave different rewards, and more of it, before."""
        mean, std = self.means[name], self.stds[name]
        return std.start > 1e-9 and mean.start - mean.ema20 > 0.2 * std.start

    def causes(self) -> list[Cause]:
        if self.given_up:
            return [
                Cause(
                    "another function pays more for completions that this one does not reward",
                    (
                        LOOPHOLE,
                        Remedy("set `reward_weights` so that the functions weigh alike"),
                    ),
                    0.8,
                )
            ]
        return [
            Cause(
                "the pattern or condition of the function never matches",
                (Remedy("run that function on a good and on a bad answer: they must differ"),),
                0.7,
            ),
            Cause("every completion meets its condition", (Remedy("drop that function"),), 0.3),
        ]

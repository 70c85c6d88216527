"""REW005 dominant-reward-component: a single reward function has almost all of the variance, so the others
are not trained.

Invariant: the rule reads a function's metrics `rewards/{function}/mean` and `/std`, of at most
`MAX_FUNCTIONS` functions.
"""

from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, RuleOptions, Severity, Verdict
from rldk.health.rules.reward.common import PREFIX, STD, RewardFunctionRule

__all__ = ["DominantRewardComponent", "DominantRewardComponentOptions"]


class DominantRewardComponentOptions(RuleOptions, frozen=True):
    """Thresholds of dominant-reward-component."""

    share: float = 0.9
    """Share of the summed spread above which one function dominates."""


class DominantRewardComponent(RewardFunctionRule[DominantRewardComponentOptions]):
    """A single reward function has almost all of the variance, so the others are not trained.

    ## What it looks for
    The share of each function in the summed spread, weights included.

    ## Why it matters
    Advantages follow the function that varies most; against it the other functions are noise.

    ## How it decides
    One function has more than 90% of the summed `weight x std` (mean of 50 records), while another one still
    varies: info.

    ## What looks alike but is healthy
    The other functions are solved: then they have no spread to compare.

    ## What to do
    Bring the functions to one scale, or set `reward_weights`.

    ## Sources
    ms-swift#8123, trl#3857; GDPO, which normalises each reward before the sum.
    """

    code, name, severity = "REW005", "dominant-reward-component", Severity.INFO

    def judge(self) -> Verdict | None:
        weights = self.context.option("reward_weights")
        if not isinstance(weights, list) or len(weights) != len(self.stds):
            weights = [1.0] * len(self.stds)
        spreads = {
            name: abs(float(weight)) * std.ema50
            for (name, std), weight in zip(self.stds.items(), weights, strict=True)
        }
        alive = [name for name, std in self.stds.items() if std.last > 1e-9]
        total = sum(spreads.values())
        name = max(spreads, key=lambda key: spreads[key])
        if total <= 0 or spreads[name] <= self.options.share * total:
            return None
        if not [other for other in alive if other != name and spreads[other] > 0.001 * total]:
            return None  # the others are solved or dead, not drowned
        return Verdict(
            severity=Severity.INFO,
            message=f"`{name}` has {spreads[name] / total:.0%} of the spread of the reward (means of "
            "50 records)",
            evidence={f"{PREFIX}{key}{STD}": spread for key, spread in spreads.items()},
            onset=self.last.onset if self.last else self.window[0],
            confidence=0.7,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the functions have different scales",
                (
                    Remedy("set `multi_objective_aggregation='normalize_then_sum'`"),
                    Remedy("set `reward_weights` so that the functions weigh alike"),
                ),
                0.7,
            )
        ]

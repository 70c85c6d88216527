"""Rules about single reward functions: dead ones and dominant ones; the faulty ones are in `reward_faults`.

Invariant: each function is known by its metrics `rewards/{function}/mean` and `/std`; a bounded number of
them is watched.
"""

from collections.abc import Collection

from rldk.health.context import GROUPED
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules import reward_faults
from rldk.health.rules.functions import MAX_FUNCTIONS, MEAN, PREFIX, STD, functions_of
from rldk.health.tracks import Track

__all__ = ["RULES"]


class RewardFunctionRule(Rule):
    """A rule that follows each reward function by itself."""

    needs = ("rewards/*/std",)
    algorithms = GROUPED
    enable = "train with GRPO or RLOO of TRL, which log each reward function"

    def start(self) -> None:
        self.means: dict[str, Track] = {}
        self.stds: dict[str, Track] = {}
        self.last: Verdict | None = None

    def meet(self, names: Collection[str]) -> None:
        for name in functions_of(names):
            if len(self.stds) < MAX_FUNCTIONS and name not in self.stds:
                self.means[name] = self.chart.track(PREFIX + name + MEAN)
                self.stds[name] = self.chart.track(PREFIX + name + STD)

    def observe(self, at: Observation) -> Verdict | None:
        """The verdict of every tenth record: fifty records are judged, one more changes little."""
        count = next(iter(self.stds.values())).count
        if len(self.stds) < 2 or count < 50:
            return None
        if count % 10 == 0:
            self.last = self.judge()
        return self.last

    def judge(self) -> Verdict | None:
        """The verdict on the functions as they are now."""
        raise NotImplementedError


class DeadRewardComponent(RewardFunctionRule):
    """One of several reward functions gives every completion the same.

    ## What it looks for
    `rewards/{function}/std` exactly 0 while another function's is not.

    ## Why it matters
    What that function is meant to teach is not taught; the total hides it.

    ## How it decides
    Fifty records in a row without spread, with the mean where it was at the start, while another function
    has spread: info.

    ## What looks alike but is healthy
    A format reward that has reached its maximum is solved, not dead: its mean rose. A function that returns
    None for most rows is sparse by design.

    ## What to do
    Run that function on a good and a bad answer; correct its pattern, or drop it.

    ## Sources
    open-r1#255, trl#3857; a public run whose two format rewards were 0 in all 250 records because of their
    regular expressions while the total rose.
    """

    code, name, severity = "REW004", "dead-reward-component", Severity.INFO

    class Options(RuleOptions, frozen=True):
        """Thresholds of dead-reward-component."""

        records: int = 50
        """Records in a row without spread."""

    def judge(self) -> Verdict | None:
        records = self.options.records
        flat = [
            name for name, std in self.stds.items() if std.count >= records and max(std.tail(records)) < 1e-9
        ]
        dead = [name for name in flat if self.means[name].ema20 <= self.means[name].start + 1e-9]
        if not dead or len(flat) == len(self.stds):
            return None
        levels = {name: self.means[name].ema20 for name in dead}
        texts = ", ".join(f"{name} (always {level:.3g})" for name, level in levels.items())
        return Verdict(
            severity=Severity.INFO,
            message=f"gives every completion the same reward: {texts}",
            evidence={f"{PREFIX}{name}{MEAN}": level for name, level in levels.items()},
            onset=self.last.onset if self.last else None,
            confidence=0.8,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the function's pattern or condition never matches",
                (Remedy("run that function on a good and on a bad answer: they must differ"),),
                0.7,
            ),
            Cause("what it asks for is always given", (Remedy("drop that function"),), 0.3),
        ]


class DominantRewardComponent(RewardFunctionRule):
    """One of several reward functions owns almost all of the variance, so the others are not trained.

    ## What it looks for
    The share of each function in the summed spread, weights included.

    ## Why it matters
    Advantages follow the function that varies most; what the others say is noise beside it.

    ## How it decides
    One function holds more than 90% of the summed `weight x std` (mean of 50 records), while another that
    still varies holds the rest: info.

    ## What looks alike but is healthy
    The others are solved: then they have no spread to compare.

    ## What to do
    Bring the functions to one scale, or set `reward_weights`.

    ## Sources
    ms-swift#8123, trl#3857; GDPO, which normalises each reward before the sum.
    """

    code, name, severity = "REW005", "dominant-reward-component", Severity.INFO

    class Options(RuleOptions, frozen=True):
        """Thresholds of dominant-reward-component."""

        share: float = 0.9
        """Share of the summed spread that one function owns."""

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
            message=f"{name} owns {spreads[name] / total:.0%} of the reward's spread over 50 records",
            evidence={f"{PREFIX}{key}{STD}": spread for key, spread in spreads.items()},
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


RULES: tuple[type[Rule], ...] = (DeadRewardComponent, DominantRewardComponent, *reward_faults.RULES)

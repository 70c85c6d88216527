"""Rules about single reward functions: dead ones, dominant ones, exploited ones, silent ones.

Invariant: each function is known by its metrics `rewards/{function}/mean` and `/std`; a bounded number of
them is watched.
"""

from collections import deque
from collections.abc import Collection

from rldk.health.context import GROUPED, ONLINE
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.statistics import Track

__all__ = ["MEAN", "PREFIX", "RULES", "STD", "functions_of"]

MAX_FUNCTIONS = 32
"""Reward functions of a run that are watched; real runs have one to ten."""
PREFIX, MEAN, STD = "rewards/", "/mean", "/std"


def functions_of(values: object) -> list[str]:
    """The reward functions that a record tells of, in the order of the trainer's list."""
    names = [str(name) for name in values]  # type: ignore[attr-defined]
    found = [
        name[len(PREFIX) : -len(STD)] for name in names if name.startswith(PREFIX) and name.endswith(STD)
    ]
    return found[:MAX_FUNCTIONS]


class _ByFunction(Rule):
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


class DeadRewardComponent(_ByFunction):
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
        told = ", ".join(f"{name} (always {level:.3g})" for name, level in levels.items())
        return Verdict(
            severity=Severity.INFO,
            message=f"gives every completion the same reward: {told}",
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


class DominantRewardComponent(_ByFunction):
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


class MissingRewards(Rule):
    """A reward function returns None or NaN.

    ## What it looks for
    The total reward, or the mean of a reward function, logged as None or NaN.

    ## Why it matters
    Rows without any reward teach nothing, or turn the advantages of their group into NaN.

    ## How it decides
    The total is NaN or None once, or the mean of a function is in more than a fifth of the last 20 records
    while there is no other function: warning. With several functions: info.

    ## What looks alike but is healthy
    Runs of several tasks return None on purpose for rows of other tasks. Rows where only some rewards are
    None leave no trace in the logs of TRL 1.16.

    ## What to do
    Return a number for every row, or have another function cover the row.

    ## Sources
    trl#4501, trl#5902, trl#5775; ms-swift#8123.
    """

    code, name, severity = "REW008", "missing-rewards", Severity.WARNING
    needs = ("rewards/*/mean|reward_mean",)
    algorithms = GROUPED
    enable = "log the rewards"

    class Options(RuleOptions, frozen=True):
        """Thresholds of missing-rewards."""

        share: float = 0.2
        """Share of the last 20 records in which a function gave nothing."""

    def start(self) -> None:
        self.recent: dict[str, deque[bool]] = {}
        self.first: dict[str, int] = {}
        self._names: list[str] = []

    def meet(self, names: Collection[str]) -> None:
        for name in functions_of(names):
            if len(self._names) < MAX_FUNCTIONS and PREFIX + name + MEAN not in self._names:
                self._names.append(PREFIX + name + MEAN)

    def observe(self, at: Observation) -> Verdict | None:
        values = at.values
        for name in self._names:
            value = values.get(name, 0.0)
            missing = value is None or value != value  # noqa: PLR0124 - NaN
            if missing or name in self.recent:
                self.recent.setdefault(name, deque(maxlen=20)).append(missing)
            if missing:
                self.first.setdefault(name, at.step)
        total = values.get("reward_mean", 0.0)
        if total is None or total != total:  # noqa: PLR0124 - NaN
            return Verdict(
                severity=Severity.WARNING,
                message="the total reward is not a number",
                evidence={"reward_mean": total},
                confidence=0.9,
            )
        silent = [name for name, seen in self.recent.items() if sum(seen) > self.options.share * 20]
        if not silent:
            return None
        alone = len(self._names) == 1
        return Verdict(
            severity=Severity.WARNING if alone else Severity.INFO,
            message=f"{', '.join(silent)} was None or NaN in more than "
            f"{self.options.share:.0%} of 20 records",
            evidence={name: sum(self.recent[name]) / 20 for name in silent},
            onset=min(self.first[name] for name in silent),
            confidence=0.8,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the reward function gives up: a time-out, a parser that fails, rows it does not know",
                (Remedy("return a number for every row, or let another reward function cover those rows"),),
                0.8,
            )
        ]


class _WithObserver(Rule):
    """A rule about what only an observer of the reward functions sees."""

    algorithms = ONLINE

    def checkable(self) -> str | None:
        return "needs the reward functions themselves: this version of rldk reads logs alone"


class RewardFunctionErrors(_WithObserver):
    """A reward function raises, times out, or returns a wrong number of values.

    ## What it looks for
    Exceptions and counts at the reward functions.

    ## Why it matters
    Depending on the wrapper such rows get 0, None, or end the run.

    ## How it decides
    Not checked yet: it needs the reward functions themselves, not the log.

    ## What looks alike but is healthy
    A function that returns None on purpose.

    ## What to do
    Run the function on the rows that failed.

    ## Sources
    trl#4501.
    """

    code, name, severity = "REW009", "reward-function-errors", Severity.WARNING


class SlowReward(_WithObserver):
    """The reward functions take more than 30% of a step.

    ## What it looks for
    Time in the reward functions against the time of the step.

    ## Why it matters
    The accelerator waits meanwhile.

    ## How it decides
    Not checked yet: it needs the reward functions themselves, not the log.

    ## What looks alike but is healthy
    A judge model that is meant to take its time.

    ## What to do
    Run rewards in parallel or asynchronously.

    ## Sources
    trl#2887, trl#3195.
    """

    code, name, severity = "REW010", "slow-reward", Severity.INFO


RULES: tuple[type[Rule], ...] = (
    DeadRewardComponent,
    DominantRewardComponent,
    MissingRewards,
    RewardFunctionErrors,
    SlowReward,
)

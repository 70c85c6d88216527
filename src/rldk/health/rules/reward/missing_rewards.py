"""REW008 missing-rewards: a reward function returns None or NaN.

Invariant: a log alone shows only the means; `observe_rewards` shows which completions have no reward.
"""

from collections import deque
from collections.abc import Collection

from rldk.health.context import GROUPED
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.health.rule import Cause, Rule, RuleOptions, Severity, Verdict
from rldk.health.rules.reward.common import (
    MAX_FUNCTIONS,
    MEAN,
    OBSERVED,
    PREFIX,
    functions_of,
    observed_functions,
)
from rldk.health.tracks import Streak, Track

__all__ = ["MissingRewards", "MissingRewardsOptions"]

UNSCORED = "samples/unscored_frac"


class MissingRewardsOptions(RuleOptions, frozen=True):
    """Thresholds of missing-rewards."""

    share: float = 0.2
    """Share without a reward above which it is reported: of the last 20 records, or of the completions."""
    records: int = 20
    """Records in a row with so many completions without a reward."""


class MissingRewards(Rule[MissingRewardsOptions]):
    """A reward function returns None or NaN.

    ## What it looks for
    The total reward, or the mean of a reward function, logged as None or NaN; with `observe_rewards`, the
    share of completions to which a function gave neither.

    ## Why it matters
    Rows without a reward teach nothing, or turn the advantages of their group into NaN; TRL 0.23 counts them
    as 0.

    ## How it decides
    The total is NaN or None once: warning. The mean of a function is NaN or None in more than a fifth of the
    last 20 records: warning if it is the only function, else info. Observed functions: more than a fifth of
    the completions have no reward from any function, in the mean of ten records, for 20 records: warning.
    Where another function scores the completions that one leaves out: info.

    ## What looks alike but is healthy
    Runs of several tasks return None on purpose for rows of other tasks. Rows where only some rewards are
    None leave no trace in the logs of TRL 1.16: only `observe_rewards` shows them.

    ## What to do
    Return a number for every row, or have another function cover the row.

    ## Sources
    trl#4501, trl#5902, trl#5775; ms-swift#8123.
    """

    code, name, severity = "REW008", "missing-rewards", Severity.WARNING
    needs = ("rewards/*/mean|reward_mean",)
    algorithms = GROUPED
    enable = "log the rewards"
    explained_by = ("reward-function-errors",)
    shown_by = ("without-reward",)

    def start(self) -> None:
        self.recent: dict[str, deque[bool]] = {}
        self.first: dict[str, int] = {}
        self._names: list[str] = []
        self.missing: dict[str, Track] = {}
        self.held: dict[str, Streak] = {}
        self.unscored = self.chart.track(UNSCORED)
        self.reward = self.chart.track("reward_mean")
        self.uncovered = Streak()

    def meet(self, names: Collection[str]) -> None:
        for name in functions_of(names):
            if len(self._names) < MAX_FUNCTIONS and PREFIX + name + MEAN not in self._names:
                self._names.append(PREFIX + name + MEAN)
        for name in observed_functions(names):
            if len(self.missing) < MAX_FUNCTIONS and name not in self.missing:
                self.missing[name] = self.chart.track(f"{OBSERVED}{name}/missing_frac")
                self.held[name] = Streak()

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
        observed = self._observed(at.step) if self.held else None
        if total is None and not (self._names or self.reward.count or self.missing):
            return None  # a column that trainers of every kind write, empty in all of this run
        if total is None or total != total:  # noqa: PLR0124 - NaN
            return Verdict(
                severity=Severity.WARNING,
                message="the total reward is not a number",
                evidence={"reward_mean": total},
                confidence=0.9,
            )
        if observed is not None or not self.recent:
            return observed
        silent = [name for name, seen in self.recent.items() if sum(seen) > self.options.share * 20]
        if not silent:
            return None
        alone = len(self._names) == 1
        return Verdict(
            severity=Severity.WARNING if alone else Severity.INFO,
            message="None or NaN instead of a reward: "
            + ", ".join(
                f"`{name}` in {sum(self.recent[name])} of the newest {len(self.recent[name])} records"
                for name in silent
            ),
            evidence={name: sum(self.recent[name]) for name in silent},
            onset=min(self.first[name] for name in silent),
            confidence=0.8,
        )

    def _observed(self, step: int) -> Verdict | None:
        """The verdict on the share of completions without a reward, where the functions are observed."""
        share, records = self.options.share, self.enough(self.options.records)
        for name, streak in self.held.items():
            streak.feed(self.missing[name].ema10 > share, step)
        self.uncovered.feed(self.unscored.ema10 > share, step)
        patchy = [name for name, streak in self.held.items() if streak.count >= records]
        if not patchy:
            return None
        alone = len(self.missing) == 1 and len(self._names) <= 1
        bare = self.uncovered.count >= records or (alone and not self.unscored.count)
        texts = ", ".join(f"{name} to {self.missing[name].ema10:.0%}" for name in patchy)
        left = f"; {self.unscored.ema10:.0%} got no reward from any function"
        rest = left if self.unscored.count and not alone else ""
        return Verdict(
            severity=Severity.WARNING if bare else Severity.INFO,
            message=f"None or NaN instead of a reward: {texts} of the completions{rest}",
            evidence={f"{OBSERVED}{name}/missing_frac": self.missing[name].ema10 for name in patchy}
            | ({UNSCORED: self.unscored.ema10} if self.unscored.count else {}),
            onset=min(self.held[name].since for name in patchy),
            confidence=0.9,
        )

    def causes(self) -> list[Cause]:
        return [
            Cause(
                "the reward function gives up: a time-out, a failed parse, or a row of another task",
                (Remedy("return a number for every row, or let another reward function cover those rows"),),
                0.8,
            )
        ]

"""What rules of the reward family share: the reward functions in a record."""

from collections import deque
from collections.abc import Collection

from rldk.health.context import GROUPED
from rldk.health.observation import Observation
from rldk.health.rule import O_co, Rule, Verdict
from rldk.health.tracks import Track

__all__ = [
    "MAX_FUNCTIONS",
    "MEAN",
    "OBSERVED",
    "PREFIX",
    "STD",
    "RewardFunctionRule",
    "functions_of",
    "observed_functions",
]

MAX_FUNCTIONS = 32
"""Most reward functions that a rule watches in a run; real runs have one to ten."""
PREFIX, MEAN, STD = "rewards/", "/mean", "/std"
RECORDS = 50
"""Records that are judged together."""
OBSERVED = "reward_functions/"
"""Prefix of the metrics of an observed reward function."""


def functions_of(names: Collection[str]) -> list[str]:
    """The reward functions in a record, in the order of the trainer's list."""
    return _between(names, PREFIX, STD)


def observed_functions(names: Collection[str]) -> list[str]:
    """The reward functions in a record that `observe_rewards` saw."""
    return _between(names, OBSERVED, "/calls")


def _between(names: Collection[str], first: str, last: str) -> list[str]:
    found = [
        name[len(first) : -len(last)] for name in names if name.startswith(first) and name.endswith(last)
    ]
    return found[:MAX_FUNCTIONS]


class RewardFunctionRule(Rule[O_co]):
    """A rule that follows each reward function by itself."""

    needs = ("rewards/*/std",)
    algorithms = GROUPED
    enable = "train with GRPO or RLOO of TRL, which log each reward function"

    def start(self) -> None:
        self.means: dict[str, Track] = {}
        self.stds: dict[str, Track] = {}
        self.last: Verdict | None = None
        self.window: deque[int] = deque(maxlen=RECORDS)
        """The steps of the newest records that are judged."""

    def meet(self, names: Collection[str]) -> None:
        for name in functions_of(names):
            if len(self.stds) < MAX_FUNCTIONS and name not in self.stds:
                self.means[name] = self.chart.track(PREFIX + name + MEAN)
                self.stds[name] = self.chart.track(PREFIX + name + STD)

    def observe(self, at: Observation) -> Verdict | None:
        """Judges the last fifty records at every tenth one, and repeats that verdict in between."""
        self.window.append(at.step)
        count = next(iter(self.stds.values())).count
        if len(self.stds) < 2 or count < RECORDS:
            return None
        if count % 10 == 0:
            self.last = self.judge()
        return self.last

    def judge(self) -> Verdict | None:
        """The verdict on the reward functions at this record."""
        raise NotImplementedError

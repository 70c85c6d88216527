"""Which reward functions a record tells of, by the names of its metrics.

Invariant: a bounded number of them is watched.
"""

from collections.abc import Collection

__all__ = ["MAX_FUNCTIONS", "MEAN", "OBSERVED", "PREFIX", "STD", "functions_of", "observed_functions"]

MAX_FUNCTIONS = 32
"""Reward functions of a run that are watched; real runs have one to ten."""
PREFIX, MEAN, STD = "rewards/", "/mean", "/std"
OBSERVED = "reward_functions/"
"""What the metrics of an observed reward function begin with."""


def functions_of(names: Collection[str]) -> list[str]:
    """The reward functions that a record tells of, in the order of the trainer's list."""
    return _between(names, PREFIX, STD)


def observed_functions(names: Collection[str]) -> list[str]:
    """Those that `observe_rewards` saw."""
    return _between(names, OBSERVED, "/calls")


def _between(names: Collection[str], first: str, last: str) -> list[str]:
    found = [
        name[len(first) : -len(last)] for name in names if name.startswith(first) and name.endswith(last)
    ]
    return found[:MAX_FUNCTIONS]

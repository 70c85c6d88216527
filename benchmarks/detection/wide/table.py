"""The table of the wide set, in the order of training: every trainer, task and kind of fault early.

Invariant: a row stands here with its label before its training is judged.
"""

from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any

from wide import offline, online, reward_faults, unseen
from wide.row import Row

__all__ = ["ROWS", "by_run"]


def _in_turn(lists: Iterable[list[Row]]) -> list[Row]:
    """The first of each list, then the second, and so on."""
    return [row for turn in zip_longest(*lists) for row in turn if row is not None]


def _spread(rows: list[Row], kind: Callable[[Row], Any]) -> list[Row]:
    """One of each kind, then the next of each."""
    kinds: dict[Any, list[Row]] = {}
    for row in rows:
        kinds.setdefault(kind(row), []).append(row)
    return _in_turn(kinds.values())


HEALTHY = _spread([*online.HEALTHY, *offline.HEALTHY], lambda row: (row.trainer, row.task))
ILL = _in_turn(
    _spread(group, lambda row: row.trainer)
    for pair in zip_longest([*online.ILL, *reward_faults.ILL], offline.ILL, fillvalue=[])
    for group in pair
)
ROWS = [*_in_turn([HEALTHY, ILL[::2], ILL[1::2]]), *unseen.ROWS]
"""A third of them healthy."""


def by_run() -> dict[str, Row]:
    """Each row by the name of its run."""
    made = {row.name: row for row in ROWS}
    if len(made) != len(ROWS):
        raise ValueError("two rows have one name")
    return made

"""The rows of a short log, and the registry of the statements that single rows prove.

Invariant: a statement holds of the rows alone. It is no verdict on the run, and rows without the metrics of a
statement say nothing.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

import msgspec

from rldk.health.context import OFFLINE
from rldk.metrics.aliases import REWARD
from rldk.report.text import number

__all__ = [
    "STATEMENTS",
    "Row",
    "ShortLog",
    "Statement",
    "everywhere",
    "is_zero",
    "percent",
    "span",
    "statement",
]

Row = Mapping[str, float | None]


class ShortLog(msgspec.Struct, frozen=True):
    """The train records of a short log, in order."""

    rows: Sequence[Row]
    """The values of each record by canonical name."""
    algorithm: str | None = None
    """The training algorithm; None if unknown."""
    dialect: str | None = None
    """The dialect of the metric keys; None if unknown."""
    evaluated_at: int | None = None
    """Step of an evaluation before the first train record, where the log itself holds steps."""
    steps: Sequence[int] = ()
    """The step of each row, where the log itself holds steps; else empty."""
    closing: Row = {}
    """The trainer's closing summary; empty if the log holds none."""
    is_excerpt: bool = False
    """Whether the rows are from the middle of a training."""

    def of(self, names: str) -> list[float]:
        """The finite values of a metric; of alternatives with `|` between them, the first that is logged."""
        for name in names.split("|"):
            values = [value for row in self.rows if (value := row.get(name)) is not None]
            if values:
                return [value for value in values if math.isfinite(value)]
        return []

    def matching(self, begin: str, end: str) -> dict[str, list[float]]:
        """The finite values of each metric of a pattern, by the part between `begin` and `end`."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        return {
            name[len(begin) : len(name) - len(end)]: values
            for name in names
            if name.startswith(begin) and name.endswith(end) and (values := self.of(name))
        }

    @property
    def is_offline(self) -> bool:
        """Whether the run learns from given sequences, so that its loss is its goal."""
        known = self.algorithm in OFFLINE
        online = self.of(REWARD) or self.matching("rewards/", "/mean")
        return known or (self.algorithm is None and not online and bool(self.of("loss")))


class Statement(msgspec.Struct, frozen=True):
    """One statement: the metrics that it is about, and what it says of rows."""

    about: tuple[str, ...]
    """Canonical names, or patterns of them, that the statement is about."""
    say: Callable[[ShortLog], str | None]
    """The sentences, with the numbers of the rows; None where the rows do not prove it."""

    def is_about(self, names: Iterable[str]) -> bool:
        """Whether it is about any of these metrics."""
        return any(fnmatchcase(name, pattern) for name in names for pattern in self.about)


STATEMENTS: list[Statement] = []
"""Every statement, in the order of the page."""


def statement(*about: str) -> Callable[[Callable[[ShortLog], str | None]], Callable[[ShortLog], str | None]]:
    """Decorator that adds a statement to the page; `about` are the metrics that it is about."""

    def add(say: Callable[[ShortLog], str | None]) -> Callable[[ShortLog], str | None]:
        STATEMENTS.append(Statement(about, say))
        return say

    return add


def span(values: Sequence[float]) -> str:
    """`0.2`, or `0.2 to 0.5` for the smallest and the largest."""
    low, high = number(min(values)), number(max(values))
    return low if low == high else f"{low} to {high}"


def everywhere(rows: ShortLog) -> str:
    """`in all 7 rows`."""
    count = len(rows.rows)
    return {1: "in this row", 2: "in both rows"}.get(count, f"in all {count} rows")


def percent(shares: Sequence[float]) -> str:
    """`52%`, or `40% to 52%`."""
    low, high = f"{min(shares):.0%}", f"{max(shares):.0%}"
    return low if low == high else f"{low} to {high}"


def is_zero(values: Sequence[float]) -> bool:
    """Whether there are values, and all are exactly 0."""
    return bool(values) and not any(values)

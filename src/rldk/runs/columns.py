"""A run as numpy columns.

Invariant: one row a record of the phase, in order; NaN stands for what a record does not hold and for what
was not finite (infinities stay infinities). Memory is a small multiple of the columns, whatever the log.
"""

from array import array
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["Columns", "Record", "columns_of"]

Columns = dict[str, npt.NDArray[Any]]
"""`step` (int64) and `wall_time` and each metric (float64) by name, all of one length."""

_BATCH = 4_096


class Record(Protocol):
    """What a row is made of: an Event, or the part of it that columns need."""

    @property
    def step(self) -> int: ...  # noqa: D102
    @property
    def wall_time(self) -> float | None: ...  # noqa: D102
    @property
    def metrics(self) -> Mapping[str, float | None]: ...  # noqa: D102


def columns_of(records: Iterable[Record]) -> Columns:
    """The columns of `records`; each is read once.

    Records that follow each other mostly hold the same metrics: their values are gathered row by row and
    turned into columns a batch at a time.
    """
    steps, times = array("q"), array("d")
    parts: list[tuple[int, tuple[str, ...], npt.NDArray[np.float64]]] = []
    names: tuple[str, ...] = ()
    rows: list[Iterable[float | None]] = []
    first = 0
    for record in records:
        metrics = record.metrics
        here = (*metrics,)
        if here != names or len(rows) == _BATCH:
            _gather(parts, first, names, rows)
            names, rows, first = here, [], len(steps)
        rows.append([*metrics.values()])
        steps.append(record.step)
        times.append(float("nan") if record.wall_time is None else record.wall_time)
    _gather(parts, first, names, rows)
    return {
        "step": np.frombuffer(steps, np.int64) if steps else np.empty(0, np.int64),
        "wall_time": np.frombuffer(times, np.float64) if times else np.empty(0),
        **_joined(parts, len(steps)),
    }


def _gather(
    parts: list[tuple[int, tuple[str, ...], npt.NDArray[np.float64]]],
    first: int,
    names: tuple[str, ...],
    rows: list[Iterable[float | None]],
) -> None:
    if rows and names:
        parts.append((first, names, np.array(rows, np.float64)))


def _joined(parts: list[tuple[int, tuple[str, ...], npt.NDArray[np.float64]]], length: int) -> Columns:
    found: Columns = {}
    for first, names, block in parts:
        for index, name in enumerate(names):
            if name not in found:
                found[name] = np.full(length, np.nan)
            found[name][first : first + len(block)] = block[:, index]
    return found

"""A run as numpy columns.

Invariant: one row a record of the phase, in order; a missing value and a value that is not finite are NaN
(infinities stay infinities). Memory is a small multiple of the columns, whatever the log.
"""

from array import array
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

__all__ = ["ColumnRecord", "Columns", "columns_of"]

Columns = dict[str, npt.NDArray[Any]]
"""`step` (int64), `wall_time` and each metric (float64) by name, all of the same length.

A metric with the name `step` or `wall_time` becomes `metrics/step` or `metrics/wall_time`."""

_FIXED = ("step", "wall_time")
_MAX_STEP = (1 << 63) - 1
"""Replaces a step beyond int64: only a damaged line has such a step, and it must not cost all columns."""


class ColumnRecord(Protocol):
    """The source of a row: an Event, or the part of it that columns need."""

    @property
    def step(self) -> int: ...  # noqa: D102
    @property
    def wall_time(self) -> float | None: ...  # noqa: D102
    @property
    def metrics(self) -> Mapping[str, float | None]: ...  # noqa: D102


def columns_of(records: Iterable[ColumnRecord]) -> Columns:
    """The columns of `records`, in a single pass.

    Most records of a run have one of a few sets of metrics. It collects the numbers of each set row by row,
    and makes columns of them at the end.
    """
    steps, times = array("q"), array("d")
    blocks: dict[tuple[str, ...], _Block] = {}
    names: tuple[str, ...] = ()
    block = blocks[names] = _Block(array("q"), array("d"))
    for record in records:
        metrics = record.metrics
        here = (*metrics,)
        if here != names:
            names = here
            block = blocks.get(names) or blocks.setdefault(names, _Block(array("q"), array("d")))
        block.rows.append(len(steps))
        numbers = block.numbers
        try:
            numbers.extend(metrics.values())  # type: ignore[arg-type]
        except (TypeError, OverflowError):  # a None, or an integer beyond all floats
            del numbers[(len(block.rows) - 1) * len(names) :]
            numbers.extend(map(_float, metrics.values()))
        try:
            steps.append(record.step)
        except OverflowError:
            steps.append(_MAX_STEP)
        times.append(float("nan") if record.wall_time is None else record.wall_time)
    return {
        "step": np.array(steps, np.int64),
        "wall_time": np.array(times, np.float64),
        **_joined(blocks, len(steps)),
    }


class _Block(NamedTuple):
    """The records that have the same set of metrics."""

    rows: "array[int]"
    numbers: "array[float]"


def _float(value: float | None) -> float:
    try:
        return float("nan") if value is None else float(value)
    except OverflowError:
        return float("inf") if value is not None and value > 0 else float("-inf")


def _joined(blocks: dict[tuple[str, ...], _Block], length: int) -> Columns:
    found: Columns = {}
    for names, block in blocks.items():
        if not names or not block.rows:
            continue
        rows = np.frombuffer(block.rows, np.int64)
        numbers = np.frombuffer(block.numbers, np.float64).reshape(-1, len(names))
        for index, metric in enumerate(names):
            name = f"metrics/{metric}" if metric in _FIXED else metric  # as in exported tables
            if name not in found:
                found[name] = np.full(length, np.nan)
            found[name][rows] = numbers[:, index]
    return found

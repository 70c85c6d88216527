"""Takes steps from a trainer's progress bar, for records that have none.

Invariant: a row gets the bar's step only if the bar can be trusted; nothing else changes, and no row is lost
or moved.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from rldk.runs.adapters.base import Row
from rldk.runs.adapters.printed_dicts import scalar

__all__ = ["Bar", "bar_of", "stepped"]

MAX_HELD = 1000
"""Rows that may wait until it is known whether the bar shows the step."""

_BAR = re.compile(r"\s*\d+%\|[^|]*\|\s*(\d{1,12})/(\d{1,12}) \[")


class Bar(NamedTuple):
    """One state of the trainer's progress bar."""

    done: int
    total: int


def bar_of(line: str) -> Bar | None:
    """The progress bar at the beginning of a line; None if there is none."""
    found = _BAR.match(line)
    return Bar(int(found[1]), int(found[2])) if found else None


def stepped(parts: Iterator[Row | Bar]) -> Iterator[Row]:
    """Yields the rows; rows without a step get the step of the progress bar, if it can be trusted.

    Output and bar are two streams, and the output may be buffered: then many records follow one bar. A bar
    can be trusted if it advanced before the second record, in proportion to the epochs.
    """
    held: list[Row] = []
    bars: dict[int, int] = {}
    total = done = -1
    trusted: bool | None = None
    for part in parts:
        if isinstance(part, Bar):
            bars.pop(part.total, None)  # so that the newest is last
            bars[part.total] = part.done
        elif trusted is False or part.step is not None:
            trusted = False
            yield from held
            held = []
            yield part
        elif "loss" not in part.values:
            if held:
                held.append(part)
                trusted = None if len(held) < MAX_HELD else False
            else:
                yield part._replace(step=done) if trusted else part
        elif trusted is None and not held:
            if bars:
                total, done = bars.popitem()
                bars.clear()
                held.append(part)
            else:
                trusted = False
                yield part
        else:
            now = bars.get(total, -1)
            trusted = now >= 0 and (trusted or _agree(held[0], done, part, now))
            yield from (row._replace(step=done) if trusted else row for row in held)
            held = []
            yield part._replace(step=now) if trusted else part
            done = now
            bars.clear()
    yield from held


def _agree(row: Row, done: int, later: Row, later_done: int) -> bool:
    """Whether the epochs of two records differ in proportion to their steps; epochs are rounded."""
    if not 0 < done < later_done:
        return False
    epoch, later_epoch = (scalar(str(each.values.get("epoch"))) for each in (row, later))
    if not isinstance(epoch, float) or not isinstance(later_epoch, float):
        return True
    return abs(done * later_epoch - later_done * epoch) <= 0.0051 * (done + later_done)

"""Tells whether a log begins in the middle of its training, as rows that somebody pasted do.

Invariant: only the log's own numbers prove it: steps, else epochs, a progress bar or a rate in mid-warm-up.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from statistics import median

from rldk.runs.adapters.progress_bar import Bar

__all__ = ["FIRST", "FirstRows", "begins_late"]

FIRST = 20
"""Train records at the beginning of a log that are looked at."""
INTERVALS = 2
"""Usual distances of two records from 0 beyond which a first record is no beginning."""
ROUNDED = 0.01
"""Distance of two epochs that a trainer may round away."""
RISES = 3
"""Records of a warm-up that must rise evenly before its rate tells where it began."""


class FirstRows:
    """The first train records of a log: their steps (None where rldk counts), epochs and rates."""

    def __init__(self) -> None:
        self.steps: list[int | None] = []
        self.epochs: list[float] = []
        self.rates: list[float] = []

    def add(self, step: int | None, epoch: float | None, rate: float | None) -> None:
        """Add the next train record."""
        self.steps.append(step)
        if epoch is not None:
            self.epochs.append(epoch)
        if rate is not None:
            self.rates.append(rate)


def begins_late(rows: FirstRows, bars: Iterable[Bar]) -> bool:
    """Whether the first record is later than the first that a training logs.

    Args:
        rows: the first train records.
        bars: the progress bars at the beginning of the log.
    """
    steps = [step for step in rows.steps if step is not None]
    if steps and len(steps) == len(rows.steps):
        return steps[0] > 1 and (len(steps) == 1 or _is_far(steps, 1))
    if len(rows.epochs) == 1:  # nothing proves that a single row is the first
        return rows.epochs[0] > INTERVALS * ROUNDED
    return _is_far(rows.epochs, ROUNDED) or _is_far(_of_training(bars), 1) or _is_warming(rows.rates)


def _is_far(values: Sequence[float], least: float) -> bool:
    """Whether a counter that starts at 0 begins many of its usual distances, at least `least`, later."""
    gaps = [after - before for before, after in pairwise(values) if after > before]
    if len(values) < 2 or any(after < before for before, after in pairwise(values)):
        return False
    usual = max(median(gaps), least) if gaps else least
    return values[0] > INTERVALS * usual


def _of_training(bars: Iterable[Bar]) -> list[int]:
    """The steps of the bar that is printed most: others load weights and map data."""
    by_total: dict[int, list[int]] = {}
    for bar in bars:
        by_total.setdefault(bar.total, []).append(bar.done)
    return max(by_total.values(), key=len, default=[])


def _is_warming(rates: Sequence[float]) -> bool:
    """Whether the rate rises evenly, from far above the 0 at which a warm-up begins."""
    rises = [after - before for before, after in pairwise(rates)]
    if len(rises) < RISES or min(rises) <= 0 or max(rises) > 1.1 * min(rises):
        return False
    return rates[0] > INTERVALS * median(rises)

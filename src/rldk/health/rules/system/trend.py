"""The future of a run: how many steps it plans, and whether a level rises so evenly that it will continue."""

from itertools import accumulate, pairwise
from operator import sub

from rldk.health.context import RunContext
from rldk.health.observation import Observation

__all__ = ["Trail", "planned_steps", "steps_ahead"]

_STRETCHES = 64
"""Stretches of a run whose levels a trail stores."""
_HIGHER = 8
"""Least number of stretches with a new high in a level that rises."""
_FAR = 3.0
"""Multiple of the steps done up to which a trend is projected."""


def planned_steps(context: RunContext, at: Observation) -> float | None:
    """The step at which the run ends: by `max_steps`, else by its epochs; None where neither is known."""
    steps = context.number("max_steps")
    if steps is not None and steps > 0:
        return steps
    epochs, epoch = context.number("num_train_epochs"), at.values.get("epoch")
    return at.step * epochs / epoch if epochs and epoch is not None and epoch > 0 else None


def steps_ahead(context: RunContext, at: Observation) -> float:
    """Steps for which a trend may be projected: to the planned end, but at most three times those done.

    Where no end is known, the run is assumed to last twice as long as it has.
    """
    planned = planned_steps(context, at)
    return float(at.step) if planned is None else min(max(planned - at.step, 0.0), _FAR * at.step)


class Trail:
    """The highest and lowest level of a run in each of at most 64 stretches of equal length."""

    __slots__ = ("_filled", "_highs", "_lows", "_steps", "_stride")

    def __init__(self) -> None:
        self._steps: list[int] = []  # the last of each stretch
        self._highs: list[float] = []
        self._lows: list[float] = []
        self._stride = 1
        self._filled = 1

    def push(self, step: int, value: float) -> None:
        """Take the next record."""
        if self._filled < self._stride:
            self._filled += 1
            self._steps[-1] = step
            if value > self._highs[-1]:
                self._highs[-1] = value
            elif value < self._lows[-1]:
                self._lows[-1] = value
            return
        if len(self._steps) == _STRETCHES:
            self._stride *= 2
            self._steps = self._steps[1::2]
            self._highs = [*map(max, self._highs[::2], self._highs[1::2])]
            self._lows = [*map(min, self._lows[::2], self._lows[1::2])]
        self._steps.append(step)
        self._highs.append(value)
        self._lows.append(value)
        self._filled = 1

    def rise(self) -> tuple[float, float] | None:
        """The rise of the level over the last three quarters of the run, and its rise a step; None where it
        did not rise evenly.

        That time has four parts. The highest level of each part is above the part before, no rise is more
        than three times another, and the last rise is at least 0.7 of the first. (A warm-up levels off: a
        logarithm's last rise is 0.6 of its first.) Together the rises are at least 1.5 times the largest
        swing within a part; in noise the factor is less, on a line it is 3. In at least eight stretches the
        level reaches a new high; noise does so in one or two.
        """
        count = len(self._steps)
        begin = count // 4
        if count - begin < 20:
            return None
        ends = [begin + round(part * (count - begin) / 4) for part in range(5)]
        tops = [max(self._highs[start:end]) for start, end in pairwise(ends)]
        rises = [after - before for before, after in pairwise(tops)]
        total = tops[-1] - tops[0]
        if min(rises) <= 0 or max(rises) > 3 * min(rises) or rises[-1] < 0.7 * rises[0]:
            return None
        bottoms = [min(self._lows[start:end]) for start, end in pairwise(ends)]
        if total < 1.5 * max(map(sub, tops, bottoms)):
            return None
        highest = accumulate(self._highs[begin:], max)
        if sum(after > before for before, after in pairwise(highest)) < _HIGHER:
            return None
        return total, total / max(self._steps[-1] - self._steps[ends[1] - 1], 1)

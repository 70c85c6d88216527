"""A series of any length as a few hundred points, for a report to draw.

Invariant: memory is bounded, the work of a value is constant, and first, last and extremes are exact.
"""

import math
from collections.abc import Iterable

from rldk.health import Observation
from rldk.report.sparkline import sparkline

__all__ = ["Curve", "Curves"]

POINTS = 256
"""Number of points at which a curve merges neighbours; a power of two."""
MAX_CURVES = 500
"""Most metrics with a curve; logs have a few dozen."""
MARK = "│"
"""Mark in a sparkline, before the first record at or after the marked step."""

GAP = "!"
"""Character in a sparkline for a point without a finite value."""


class Curve:
    """One series, thinned by means of neighbours as it grows."""

    __slots__ = ("_filled", "_per", "_points", "count", "first", "high", "last", "low", "newest", "nonfinite")

    def __init__(self) -> None:
        self.count = 0
        """Finite values so far."""
        self.nonfinite = 0
        """Values that were not finite."""
        self.first = self.last = 0.0
        """The first and the newest finite value."""
        self.newest: float | None = None
        """The newest value, finite or not."""
        self.low = math.inf
        """The smallest value."""
        self.high = -math.inf
        """The largest value."""
        self._points: list[list[float]] = []  # step, sum, values in it
        self._per = 1
        self._filled = 0

    def push(self, step: int, value: float | None) -> None:
        """Take the next value; one that is not finite leaves a gap."""
        points = self._points
        if self._filled == 0:
            if len(points) == POINTS:
                pairs = zip(points[::2], points[1::2], strict=True)
                self._points = points = [[a[0], a[1] + b[1], a[2] + b[2]] for a, b in pairs]
                self._per *= 2
            points.append([step, 0.0, 0])
        self._filled = (self._filled + 1) % self._per
        self.newest = value
        if value is None or not math.isfinite(value):
            self.nonfinite += 1
            return
        point = points[-1]
        point[1] += value
        point[2] += 1
        if self.count == 0:
            self.first = value
        self.count += 1
        self.last = value
        self.low = min(self.low, value)
        self.high = max(self.high, value)

    def points(self) -> list[float | None]:
        """The thinned series, None where it has a gap."""
        return [total / count if count else None for _, total, count in self._points]

    def at(self, step: int) -> float | None:
        """The value at a step: the last finite point that does not begin after it."""
        found = None
        for begin, total, count in self._points:
            if begin > step:
                break
            found = total / count if count else found
        return found

    def spark(self, width: int, mark: int | None = None) -> str:
        """The series in at most `width` characters; a point without a finite value is a GAP.

        Args:
            width: the most characters.
            mark: the step to put a MARK before, if the series begins before it.
        """
        steps = [begin for begin, _, _ in self._points]
        index = next((i for i, begin in enumerate(steps) if mark is not None and begin >= mark), 0)
        if index == 0:
            return sparkline(self.points(), width).replace(" ", GAP)
        width -= 1
        line = sparkline(self.points(), width).replace(" ", GAP)
        column = min(max(round(index * len(line) / len(steps)), 1), len(line) - 1)
        return line[:column] + MARK + line[column:] if len(line) > 1 else line


class Curves(dict[str, Curve]):
    """The curve of each metric, train and eval, by its name."""

    def take(self, at: Observation) -> None:
        """Add the values of a log to the curves."""
        if at.kind != "log" or at.phase == "summary":
            return
        for name, value in at.values.items():
            curve = self.get(name)
            if curve is not None and at.phase == "eval" and not name.startswith("eval_"):
                continue  # an evaluation that logs under the names of training is no part of its series
            if curve is None:
                if len(self) >= MAX_CURVES:
                    continue
                curve = self[name] = Curve()
            curve.push(at.step, value)

    def first_of(self, names: Iterable[str]) -> list[str]:
        """The `names` with a finite value, each once, in order."""
        return [name for name in dict.fromkeys(names) if name in self and self[name].count]

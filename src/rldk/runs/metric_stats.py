"""Statistics of a metric over a run, in a single pass and constant memory."""

import math
from typing import Any

__all__ = ["MetricStats"]


class MetricStats:
    """Count, mean, standard deviation, extremes, first and last of a series of numbers.

    Values that are not finite, and None, only count in `nonfinite`.
    """

    __slots__ = ("_m2", "count", "first", "last", "max", "mean", "min", "nonfinite")

    def __init__(self) -> None:
        self.count = 0
        self.nonfinite = 0
        self.mean = 0.0
        self.min = math.inf
        self.max = -math.inf
        self.first: float | None = None
        self.last: float | None = None
        self._m2 = 0.0

    def add(self, value: float | None) -> None:
        """Add a value (Welford's update, which avoids cancellation)."""
        if value is None or not _is_finite(value):
            self.nonfinite += 1
            return
        self.count += 1
        delta = value - self.mean
        if math.isfinite(delta):
            self.mean += delta / self.count
        else:  # as far apart as floats can be
            self.mean += value / self.count - self.mean / self.count
        self._m2 += delta * (value - self.mean)
        self.min = min(self.min, value)
        self.max = max(self.max, value)
        if self.first is None:
            self.first = value
        self.last = value

    @property
    def values(self) -> int:
        """Number of values, finite or not."""
        return self.count + self.nonfinite

    @property
    def std(self) -> float | None:
        """The sample standard deviation (n - 1); None for fewer than two values, or beyond a float."""
        if self.count < 2 or not math.isfinite(self._m2):
            return None
        return math.sqrt(self._m2 / (self.count - 1))

    def to_dict(self) -> dict[str, Any]:
        """The statistics as in `{run_id}_metrics.json`; None if there is no finite value."""
        known = self.count > 0
        return {
            "count": self.count,
            "mean": self.mean if known else None,
            "std": self.std,
            "min": self.min if known else None,
            "max": self.max if known else None,
            "first": self.first,
            "last": self.last,
            "nonfinite": self.nonfinite,
        }


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond the floats
        return False

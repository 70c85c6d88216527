"""A series as a line of block characters."""

import math
from collections.abc import Sequence

__all__ = ["sparkline"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_ROUNDING = 1e-9
"""Largest relative difference of equal means: the means of a constant series differ by rounding."""


def sparkline(values: Sequence[float | None], width: int, top: float | None = None) -> str:
    """At most `width` blocks, each the mean of its share of the values; a blank if it has none.

    Args:
        values: the series.
        width: number of blocks.
        top: the value of the highest block, with 0 as the lowest; None: from the least to the largest mean.
    """
    width = max(min(width, len(values)), 1)
    means = []
    for column in range(width):
        share = values[column * len(values) // width : (column + 1) * len(values) // width]
        finite = [value for value in share if value is not None and math.isfinite(value)]
        means.append(sum(finite) / len(finite) if finite else None)
    known = [mean for mean in means if mean is not None]
    low, high = (min(known, default=0.0), max(known, default=0.0)) if top is None else (0.0, top)
    span = high / 2 - low / 2  # halves, because the difference of two floats may be infinite
    is_flat = span <= _ROUNDING * max(abs(low), abs(high))
    levels = [
        None if mean is None else 0.0 if is_flat else (min(mean, high) / 2 - low / 2) / span for mean in means
    ]
    return "".join(" " if level is None else _BLOCKS[round(level * (len(_BLOCKS) - 1))] for level in levels)

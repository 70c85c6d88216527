"""A series as one line of block characters."""

import math
from collections.abc import Sequence

__all__ = ["sparkline"]

_BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """At most `width` blocks, each the mean of its share of the values; a blank where there is none."""
    width = max(min(width, len(values)), 1)
    means = []
    for column in range(width):
        share = values[column * len(values) // width : (column + 1) * len(values) // width]
        finite = [value for value in share if value is not None and math.isfinite(value)]
        means.append(sum(finite) / len(finite) if finite else None)
    known = [mean for mean in means if mean is not None]
    low, high = min(known, default=0.0), max(known, default=0.0)
    scale = (len(_BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if mean is None else _BLOCKS[round((mean - low) * scale)] for mean in means)

"""Owns the description of a metric: its name, its unit, its better direction, and one true sentence."""

from typing import Literal

import msgspec

__all__ = ["Direction", "Metric"]

Direction = Literal["up", "down", "none"]


class Metric(msgspec.Struct, frozen=True):
    """A quantity that a trainer logs."""

    name: str
    """Its name in every log; a part in braces stands for any text. A name with a slash is a trainer's own
    key, kept because no other quantity is quite the same."""

    unit: str
    """One short word: `nats`, `tokens`, `fraction`, `score`, `seconds`, `count`, ..."""

    direction: Direction
    """Where a healthy run should move it; `none` where neither direction is good in itself."""

    meaning: str
    """One sentence: what is averaged over what, and where the value is meaningless."""

"""Owns what is said of a metric: its name, its unit, where better is, and one true sentence."""

from typing import Literal

import msgspec

__all__ = ["Direction", "Metric"]

Direction = Literal["up", "down", "none"]


class Metric(msgspec.Struct, frozen=True):
    """A quantity that a trainer logs."""

    name: str
    """Its name in every log; a part in braces stands for any text. One with a slash is a trainer's own
    key, kept because nothing else is quite the same quantity."""

    unit: str
    """One short word: `nats`, `tokens`, `fraction`, `score`, `seconds`, `count`, ..."""

    direction: Direction
    """Where a healthy run is expected to move it; `none` where neither is good in itself."""

    meaning: str
    """What is averaged over what, in one sentence, and for whom it is nonsense."""

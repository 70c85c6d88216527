"""Reads one value of a log as a number, a step or a time.

Invariant: no value raises; an unreadable value is None. Steps and times are finite and not negative.
"""

import math
import re
from datetime import UTC, datetime
from typing import Any

__all__ = ["is_number", "seconds", "whole_number"]

_CLOCK = re.compile(r"(?:(\d{1,6}) days?, ?)?(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9}(?:\.\d{1,9})?)")
_UNITS = re.compile(r"(?:(\d{1,6})d ?)?(?:(\d{1,9})h ?)?(?:(\d{1,9})m ?)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?")


def whole_number(value: Any) -> int | None:
    """A step: `12`, `12.0`, `"12"` or `"12/438"`; None for anything else."""
    if type(value) is not int:
        text = value.partition("/")[0] if isinstance(value, str) else value
        number = _float(text)
        if number is None or not number.is_integer():
            return None
        value = int(number)
    return value if 0 <= value < 1 << 53 else None


def seconds(value: Any) -> float | None:
    """A time: seconds, ISO 8601, `1 day, 0:01:03` or `1m 42s`; None for anything else."""
    number = _float(value)
    if number is None and isinstance(value, str):
        number = _duration(value.strip()) if len(value) < 100 else None
    if number is None or not 0 <= number < math.inf:
        return None
    # So many seconds would be far in the future: the unit is a millisecond or smaller.
    while number > 1e11:
        number /= 1000
    return number


def is_number(value: Any) -> bool:
    """Whether a value is a number, or a text that holds one."""
    return _float(value) is not None


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _duration(text: str) -> float | None:
    match = _CLOCK.fullmatch(text) or _UNITS.fullmatch(text)
    if match and text:
        days, hours, minutes, rest = (float(group or 0) for group in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    try:
        date = datetime.fromisoformat(text)
        # UTC, as local time jumps in spring and autumn.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None

"""The format of numbers and lists in every report; `plain` and `sentence`, of `health.text`, belong to it.

Invariant: text for a machine is strict JSON.
"""

import math
from typing import Any

from rldk.health.text import plain, sentence
from rldk.schema.event import escaped

__all__ = ["counted", "listed", "number", "plain", "sentence", "strict"]


def number(value: float | None) -> str:
    """A value with few digits, for tables and sentences."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4g}" if abs(value) < 1e5 else f"{value:.3g}"


def counted(count: int, what: str) -> str:
    """`3 records`, `1 record`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def listed(names: list[str], last: str = "and") -> str:
    """`a, b and c`."""
    return f" {last} ".join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def strict(value: Any) -> Any:
    """Plain data for strict JSON: values that are not finite, and other objects, become text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, dict):
        return {strict(str(key)): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [strict(item) for item in value]
    return escaped(str(value))

"""Whose keys are these? The dialect and the algorithm of a log, by the keys that stand in it.

Invariant: the answer depends on the set of keys alone. The dialect that knows most of them wins, and of
its algorithms the one that does, the earlier one where two know as many; keys that all trainers of the
dialect log do not count for an algorithm.
"""

from collections.abc import Collection

from rldk.metrics.dialects import Dialect
from rldk.metrics.dialects.trl import TRL

__all__ = ["DIALECTS", "detect"]

COMMON = "trainer"
"""The table of a dialect that holds what all its trainers log."""
DIALECTS: dict[str, Dialect] = {dialect.name: dialect for dialect in (TRL,)}
"""Every dialect by its name, the likelier first."""


def detect(keys: Collection[str], named: str | None = None) -> tuple[Dialect | None, str | None]:
    """The dialect and the algorithm; None where nothing tells.

    Args:
        keys: the log's own keys.
        named: the dialect, where the format of the log is that of one framework.
    """
    candidates = [DIALECTS[named]] if named else list(DIALECTS.values())
    scores = [(sum(dialect.knows(key) for key in keys), dialect) for dialect in candidates]
    best, dialect = max(scores, key=lambda scored: scored[0])
    if not best:
        return (dialect, None) if named else (None, None)
    # What every trainer logs tells no algorithm.
    telling = [key for key in keys if COMMON not in dialect.by_algorithm or not dialect.knows(key, COMMON)]
    known = {name: sum(dialect.knows(key, name) for key in telling) for name in dialect.by_algorithm}
    most = max(known.values(), default=0)
    return dialect, next((name for name, count in known.items() if count == most > 0), None)

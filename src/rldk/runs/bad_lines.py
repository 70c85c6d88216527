"""The unreadable lines of a run, over all passes.

Invariant: a line counts once, however many passes meet it; several faults in the same line (such as the
entries of a document) count each.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from rldk.runs.line_reader import BadLine

__all__ = ["MAX_KEPT", "BadLines"]

MAX_KEPT = 100_000
"""Most lines to keep with their reasons; more are only counted, so that junk cannot fill the memory."""


class BadLines:
    """The unreadable lines of all passes. `len` counts all, iteration yields the first `MAX_KEPT`."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Path, int, int], BadLine] = {}
        self._counts: Counter[Path] = Counter()

    def new_pass(self) -> Callable[[BadLine], None]:
        """Start a pass; returns the function that the pass calls with each unreadable line."""
        here: Counter[tuple[Path, int]] = Counter()
        counts: Counter[Path] = Counter()

        def refuse(bad: BadLine) -> None:
            counts[bad.path] += 1
            self._counts[bad.path] = max(self._counts[bad.path], counts[bad.path])
            if len(here) < MAX_KEPT:
                position = (bad.path, bad.number)
                here[position] += 1
                if len(self._kept) < MAX_KEPT:
                    self._kept.setdefault((*position, here[position]), bad)

        return refuse

    def __iter__(self) -> Iterator[BadLine]:
        return iter(self._kept.values())

    def __len__(self) -> int:
        return self._counts.total()

"""The lines of a run that could not be read, over all passes.

Invariant: a line that several passes meet counts once; several faults of one line (the entries of a
document that stands on it) count each.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from rldk.runs.line_reader import BadLine

__all__ = ["MAX_KEPT", "BadLines"]

MAX_KEPT = 100_000
"""Lines that are kept with their reasons; beyond that they are counted: junk must not fill the memory."""


class BadLines:
    """Gathers what passes over a log refuse. `len` counts all, iteration gives the first `MAX_KEPT`."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Path, int, int], BadLine] = {}
        self._counts: Counter[Path] = Counter()

    def new_pass(self) -> Callable[[BadLine], None]:
        """What a pass over the log calls with each line that it refuses."""
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

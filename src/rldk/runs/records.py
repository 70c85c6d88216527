"""From the lines of events files to Events.

Invariant: each record is yielded once, in the order in which it was written; what a resume superseded
is left out; a line that cannot be read is passed to `on_bad` with its place and reason, never dropped
in silence and never fatal.
"""

import gzip
import os
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from rldk.errors import EventError
from rldk.event import Event, Phase, decode

__all__ = ["BadLine", "last_event", "read_events", "read_lines"]

_RESUMED = re.compile(rb'"resumed:from_step=(\d+)"')
_TAIL_BYTES = (1 << 16, 1 << 24, 1 << 62)


class BadLine(NamedTuple):
    """A line that is no Event."""

    path: Path
    """The file."""
    number: int
    """The line in it, counted from 1."""
    reason: str
    """What is wrong."""


def _ignore(bad: BadLine) -> None:
    pass


def read_lines(path: Path, on_bad: Callable[[BadLine], None] = _ignore) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, plain or gzip, with their numbers and their newlines; not the blank ones.

    A part that was compressed and removed after it was listed is read from its `.gz`. A gzip file
    that is cut short or damaged ends at the damage, which goes to `on_bad`.

    Raises:
        OSError: the file cannot be read.
    """
    number = 0
    with _open(path) as file:
        try:
            for number, line in enumerate(file, 1):
                if not line.isspace():
                    yield number, line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            on_bad(BadLine(path, number + 1, f"the gzip file is cut short or damaged: {error}"))


def read_events(parts: Sequence[Path], on_bad: Callable[[BadLine], None] = _ignore) -> Iterator[Event]:
    """The Events of a run, from its files in order.

    A first record after a resume, with the note `resumed:from_step=N`, ends the branch before it: the
    earlier records with a step above N are superseded. They stay on disk and are not yielded.
    """
    resumes = _resumes(parts)
    index = 0
    for path in parts:
        for number, line in read_lines(path, on_bad):
            while resumes and resumes[0][0] <= index:
                resumes.pop(0)
            index += 1
            try:
                event = decode(line)
            except EventError as error:
                on_bad(BadLine(path, number, str(error)))
                continue
            if not resumes or event.step <= resumes[0][1]:
                yield event


def last_event(parts: Sequence[Path], phase: Phase | None = None) -> Event | None:
    """The last readable Event (of `phase`), found from the end: its cost does not grow with the file."""
    for path in reversed(parts):
        for window in _TAIL_BYTES:
            lines, whole = _tail(path, window)
            for line in reversed(lines):
                try:
                    event = decode(line)
                except EventError:
                    continue
                if phase in (None, event.phase):
                    return event
            if whole:
                break
    return None


def _resumes(parts: Sequence[Path]) -> list[tuple[int, int]]:
    """`(index, step)` of the resumes: of the records before line `index`, those above `step` are dead.

    The lines are counted through all parts. A later resume from an earlier step also ends what came
    between, so each step here is the lowest of its own and the later ones.
    """
    found: list[tuple[int, int]] = []
    index = 0
    for path in parts:
        for _, line in read_lines(path):
            if b"resumed:from_step=" in line and (match := _RESUMED.search(line)):
                found.append((index, int(match[1])))
            index += 1
    for later in range(len(found) - 1, 0, -1):
        earlier, step = found[later - 1]
        found[later - 1] = (earlier, min(step, found[later][1]))
    return found


def _open(path: Path) -> BinaryIO | gzip.GzipFile:
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    except FileNotFoundError:
        packed = path.with_name(f"{path.name}.gz")
        if not packed.exists():
            raise
        return gzip.open(packed, "rb")


def _tail(path: Path, window: int) -> tuple[list[bytes], bool]:
    """The whole lines among the last `window` bytes, and whether these are all that the file has."""
    with _open(path) as file:
        if path.suffix == ".gz":
            return file.read().splitlines(), True
        start = max(file.seek(0, os.SEEK_END) - window, 0)
        file.seek(start)
        lines = file.read(window).splitlines()
        return (lines[1:], False) if start else (lines, True)

"""From the lines of events files to Events.

Invariant: each record is yielded once, in the order in which it was written; what a resume superseded
is left out; a line that cannot be read is passed to `on_bad` with its place and reason, never dropped
in silence and never fatal.
"""

import gzip
import os
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple, Protocol, TypeVar

from rldk.errors import EventError
from rldk.event import Event, Phase, decode
from rldk.files import RunFiles

__all__ = ["BadLine", "last_event", "read_events", "read_lines", "read_records"]

_RESUMED = b'"resumed:from_step='
_CHUNK_BYTES = 1 << 20
_TAIL_BYTES = (1 << 16, 1 << 24, 1 << 62)


class Stepped(Protocol):
    """A record that knows its step."""

    @property
    def step(self) -> int: ...


R = TypeVar("R", bound=Stepped)


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
    with _open(path) as file:
        yield from _lines(path, file, on_bad)


def read_events(
    parts: Sequence[Path] | RunFiles, on_bad: Callable[[BadLine], None] = _ignore
) -> Iterator[Event]:
    """The Events of a run, from its files in order; see `read_records`."""
    return read_records(parts, decode, on_bad)


def read_records(
    parts: Sequence[Path] | RunFiles,
    decode_line: Callable[[bytes], R],
    on_bad: Callable[[BadLine], None] = _ignore,
) -> Iterator[R]:
    """What `decode_line` makes of the lines of a run, from its files in order.

    Args:
        parts: the files, oldest first, or the run that they belong to.
        decode_line: gives something with a `step`, or raises EventError.
        on_bad: takes the lines that it refused.

    With the `RunFiles` of a live run, parts that are finished and compressed meanwhile are no matter.

    A first record after a resume, with the note `resumed:from_step=N`, ends the branch before it: the
    earlier records with a step above N are superseded. They stay on disk and are not yielded.
    """
    resumes = _resumes(parts)
    index = 0
    for path, file in _opened(parts):
        for number, line in _lines(path, file, on_bad):
            while resumes and resumes[0][0] <= index:
                resumes.pop(0)
            index += 1
            try:
                record = decode_line(line)
            except EventError as error:
                on_bad(BadLine(path, number, str(error)))
                continue
            if not resumes or record.step <= resumes[0][1]:
                yield record


def last_event(parts: Sequence[Path], phase: Phase | None = None) -> Event | None:
    """The last readable Event (of `phase`), found from the end: its cost does not grow with the file."""
    alive = sys.maxsize  # a later resume superseded what lies above this step
    for path in reversed(parts):
        for window in _TAIL_BYTES:
            lines, whole = _tail(path, window)
            limit = alive
            for line in reversed(lines):
                try:
                    event = decode(line)
                except EventError:
                    pass
                else:
                    if phase in (None, event.phase) and event.step <= limit:
                        return event
                if (step := _resumed_from(line)) is not None:
                    limit = min(limit, step)
            if whole:
                alive = limit
                break
    return None


def _lines(
    path: Path, file: BinaryIO | gzip.GzipFile, on_bad: Callable[[BadLine], None]
) -> Iterator[tuple[int, bytes]]:
    number = 0
    try:
        for number, line in enumerate(file, 1):
            if not line.isspace():
                yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        on_bad(BadLine(path, number + 1, f"the gzip file is cut short or damaged: {error}"))


def _opened(parts: Sequence[Path] | RunFiles) -> Iterator[tuple[Path, BinaryIO | gzip.GzipFile]]:
    """The files in order, each open while it is the current one."""
    if not isinstance(parts, RunFiles):
        for path in parts:
            with _open(path) as file:
                yield path, file
        return
    done = 0
    while True:
        # Opened before the look at the folder: had it become a part by then, the look would show it.
        try:
            live = parts.events.open("rb")
        except FileNotFoundError:
            live = None
        finished = [(n, path) for n, path in parts.numbered_parts() if n > done and path != parts.events]
        if not finished:
            if live is not None:
                with live:
                    yield parts.events, live
            return
        if live is not None:
            live.close()
        for done, path in finished:  # noqa: B007 - the last one counts
            with _open(path) as file:
                yield path, file


def _resumed_from(line: bytes) -> int | None:
    if _RESUMED not in line:
        return None
    try:
        return decode(line).resumed_from
    except EventError:
        return None


def _resumes(parts: Sequence[Path] | RunFiles) -> list[tuple[int, int]]:
    """`(index, step)` of the resumes: of the records before line `index`, those above `step` are dead.

    The lines are counted through all parts. A later resume from an earlier step also ends what came
    between, so each step here is the lowest of its own and the later ones.
    """
    if not any(_mentions(file, _RESUMED) for _, file in _opened(parts)):
        return []  # as nearly always; the lines need not be told apart for this
    found: list[tuple[int, int]] = []
    index = 0
    for path, file in _opened(parts):
        for _, line in _lines(path, file, _ignore):
            if (step := _resumed_from(line)) is not None:
                found.append((index, step))
            index += 1
    for later in range(len(found) - 1, 0, -1):
        earlier, step = found[later - 1]
        found[later - 1] = (earlier, min(step, found[later][1]))
    return found


def _mentions(file: BinaryIO | gzip.GzipFile, text: bytes) -> bool:
    """Whether `text` is in a file; what cannot be unpacked does not count."""
    tail = b""
    try:
        while chunk := file.read(_CHUNK_BYTES):
            if text in tail + chunk:
                return True
            tail = chunk[-len(text) :]
    except (EOFError, zlib.error, gzip.BadGzipFile):
        pass
    return False


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
            return [line for _, line in _lines(path, file, _ignore)], True
        start = max(file.seek(0, os.SEEK_END) - window, 0)
        file.seek(start)
        lines = file.read().split(b"\n")
        return (lines[1:], False) if start else (lines, True)

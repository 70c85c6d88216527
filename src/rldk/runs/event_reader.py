"""Turns the lines of events files into Events.

Invariant: it yields each record once, in the order of the file, without steps that a resume replaced. An
unreadable line goes to `on_bad` with its position and the reason; it is never dropped silently, and no error.
"""

import gzip
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from rldk.errors import EventError
from rldk.runs.line_reader import BadLine, ignore, lines_backward, lines_of, most_of, open_part, read_lines
from rldk.schema.event import Event, Phase, decode
from rldk.schema.files import RunFiles

__all__ = ["BadLine", "last_event", "read_events", "read_lines", "read_records"]

_RESUMED = b'"resumed:from_step='
_CHUNK_BYTES = 1 << 20


class HasStep(Protocol):
    """A record with a step."""

    @property
    def step(self) -> int: ...


R = TypeVar("R", bound=HasStep)


def read_events(
    parts: Sequence[Path] | RunFiles, on_bad: Callable[[BadLine], None] = ignore
) -> Iterator[Event]:
    """The Events of a run, from its files in order; see `read_records`."""
    return read_records(parts, decode, on_bad)


def read_records(
    parts: Sequence[Path] | RunFiles,
    decode_line: Callable[[bytes], R],
    on_bad: Callable[[BadLine], None] = ignore,
) -> Iterator[R]:
    """The records of a run, decoded by `decode_line`, from its files in order.

    Args:
        parts: the files, oldest first, or the run itself.
        decode_line: returns a record with a `step`, or raises EventError.
        on_bad: takes the lines that it refused.

    With the `RunFiles` of a live run, the recorder may finish and compress parts meanwhile.

    The first record after a resume has the note `resumed:from_step=N`. It replaces all earlier records with a
    step above N: they stay on disk, but are not yielded.
    """
    resumes = _resumes(parts)
    index = 0
    for path, file in _opened(parts):
        for number, line in lines_of(path, file, on_bad):
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
    """The last readable Event (of `phase`), read from the end: the cost does not grow with the file."""
    alive = sys.maxsize  # a later resume replaced the records above this step
    for path in reversed(parts):
        for line in lines_backward(path):
            try:
                event = decode(line)
            except EventError:
                continue
            if phase in (None, event.phase) and event.step <= alive:
                return event
            if event.resumed_from is not None:
                alive = min(alive, event.resumed_from)
    return None


def _opened(parts: Sequence[Path] | RunFiles) -> Iterator[tuple[Path, BinaryIO | gzip.GzipFile]]:
    """The files in order, each open while it is the current one."""
    if not isinstance(parts, RunFiles):
        for path in parts:
            with open_part(path) as file:
                yield path, file
        return
    done = 0
    while True:
        # Open it before listing the folder: if it has become a part meanwhile, the listing shows the part.
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
        for done, path in finished:  # noqa: B007 - the last value is used
            with open_part(path) as file:
                yield path, file


def _resumed_from(line: bytes) -> int | None:
    if _RESUMED not in line:
        return None
    try:
        return decode(line).resumed_from
    except EventError:
        return None


def _resumes(parts: Sequence[Path] | RunFiles) -> list[tuple[int, int]]:
    """`(index, step)` of the resumes: each replaces the records before line `index` with a step above `step`.

    Lines are counted through all parts. A later resume from an earlier step also replaces the records in
    between, so each step here is the minimum over this and all later resumes.
    """
    if not any(_mentions(file, _RESUMED) for _, file in _opened(parts)):
        return []  # the usual case, found without splitting the files into lines
    found: list[tuple[int, int]] = []
    index = 0
    for path, file in _opened(parts):
        for _, line in lines_of(path, file, ignore):
            if (step := _resumed_from(line)) is not None:
                found.append((index, step))
            index += 1
    for later in range(len(found) - 1, 0, -1):
        earlier, step = found[later - 1]
        found[later - 1] = (earlier, min(step, found[later][1]))
    return found


def _mentions(file: BinaryIO | gzip.GzipFile, text: bytes) -> bool:
    """Whether `text` is in a file; damaged gzip data does not count."""
    tail, left = b"", most_of(file)
    try:
        while left > 0 and (chunk := file.read(_CHUNK_BYTES)):
            if text in tail + chunk:
                return True
            tail = chunk[-len(text) :]
            left -= len(chunk)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        pass
    return False

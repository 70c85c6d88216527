"""From the lines of events files to Events.

Invariant: each record is yielded once, in the order in which it was written; what a resume superseded
is left out; a line that cannot be read is passed to `on_bad` with its place and reason, never dropped
in silence and never fatal.
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
    """A record that knows its step."""

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
    """The last readable Event (of `phase`), found from the end: its cost does not grow with the file."""
    alive = sys.maxsize  # a later resume superseded what lies above this step
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
    """`(index, step)` of the resumes: of the records before line `index`, those above `step` are dead.

    The lines are counted through all parts. A later resume from an earlier step also ends what came
    between, so each step here is the lowest of its own and the later ones.
    """
    if not any(_mentions(file, _RESUMED) for _, file in _opened(parts)):
        return []  # as nearly always; the lines need not be told apart for this
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
    """Whether `text` is in a file; what cannot be unpacked does not count."""
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

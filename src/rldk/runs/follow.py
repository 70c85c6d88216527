"""Following a live run: its new events as they are written.

Invariant: each event is yielded once, in order, also when the file is rotated and compressed meanwhile;
half a line waits until it is whole. Only reading and polling: it works on network disks too.
"""

import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from rldk.errors import EventError
from rldk.event import Event, decode
from rldk.files import RunFiles
from rldk.runs.records import BadLine, read_lines

__all__ = ["follow"]

POLL_SECONDS = 0.5


def follow(
    files: RunFiles,
    on_bad: Callable[[BadLine], None],
    *,
    poll: float = POLL_SECONDS,
    until: Callable[[], bool],
) -> Iterator[Event]:
    """The events of a run from its first to its last, waiting for those to come.

    Args:
        files: the run; its events file need not exist yet.
        on_bad: takes lines that are no Events.
        poll: seconds between two looks.
        until: whether nothing more is to come; asked when everything that is there has been yielded,
            and followed by one more look.
    """
    done = 0  # finished parts that were read to their end
    tail = _Tail(files)
    last_look = False
    while True:
        found = False
        parts = [(number, path) for number, path in files.numbered_parts() if path != files.events]
        for number, path in parts:
            if number <= done:
                continue
            # The file that was followed until now has become the first part that is not done.
            lines = tail.rest() if tail.started else (line for _, line in read_lines(path, on_bad))
            for line in lines:
                found = True
                yield from _events(files, line, on_bad)
            tail.close()
            done = number
        for line in tail.lines():
            found = True
            yield from _events(files, line, on_bad)
        if found:
            continue
        if last_look:
            tail.close()
            return
        last_look = until()
        if not last_look:
            time.sleep(poll)


class _Tail:
    """The live events file: what was added to it since the last look."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._file: BinaryIO | None = None
        self._half = b""

    @property
    def started(self) -> bool:
        """Whether a file is open."""
        return self._file is not None

    def lines(self) -> Iterator[bytes]:
        """The whole lines that are new."""
        if self._file is None:
            try:
                self._file = self._files.events.open("rb")
            except FileNotFoundError:
                return
        for piece in iter(self._file.readline, b""):
            self._half += piece
            if self._half.endswith(b"\n"):
                line, self._half = self._half, b""
                yield line

    def rest(self) -> Iterator[bytes]:
        """The rest of the file, to its end: it is written to no more."""
        yield from self.lines()
        if self._half:
            yield self._half
            self._half = b""

    def close(self) -> None:
        """Let go of the file; the next look opens the live one anew."""
        if self._file is not None:
            self._file.close()
        self._file, self._half = None, b""


def _events(files: RunFiles, line: bytes, on_bad: Callable[[BadLine], None]) -> Iterator[Event]:
    if line.isspace():
        return
    try:
        yield decode(line)
    except EventError as error:
        on_bad(BadLine(files.events, 0, str(error)))

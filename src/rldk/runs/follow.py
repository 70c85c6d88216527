"""Follows a live run: yields its new events as the recorder writes them.

Invariant: it yields each event once, in order, also if the recorder rotates and compresses the file. An
incomplete line waits until it is complete, or until the run ends. It only reads and polls, so it works on
network disks too.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from rldk.errors import EventError
from rldk.runs.line_reader import MAX_LINE, BadLine, read_lines, too_long
from rldk.schema.event import Event, decode
from rldk.schema.files import RunFiles

__all__ = ["follow"]

POLL_SECONDS = 0.5

_Line = tuple[Path, int, bytes]
"""A line, with its file and its number there."""


def follow(
    files: RunFiles,
    on_bad: Callable[[BadLine], None],
    *,
    poll: float = POLL_SECONDS,
    until: Callable[[], bool],
) -> Iterator[Event]:
    """The events of a run from the first to the last; it waits for new events.

    Args:
        files: the run; its events file need not exist yet.
        on_bad: takes lines that are no Events.
        poll: seconds between two looks.
        until: whether the run has ended; called when all existing events have been yielded, and followed by
            a last look.
    """
    tail = _EventTail(files, on_bad)
    last_look = False
    try:
        while True:
            found = False
            for line in tail.lines():
                found = True
                yield from _events(line, on_bad)
            if found:
                continue
            if last_look:
                for line in tail.half():
                    yield from _events(line, on_bad)
                return
            last_look = until()
            if not last_look:
                time.sleep(poll)
    finally:
        tail.close()


class _EventTail:
    """The new lines of a run since the last look."""

    def __init__(self, files: RunFiles, on_bad: Callable[[BadLine], None]) -> None:
        self._files = files
        self._on_bad = on_bad
        self._done = 0  # finished parts read to their end
        self._file: BinaryIO | None = None
        self._part = 0  # the number of the open file once it is finished
        self._number = 0  # lines read from it
        self._half = b""
        self._skipping = False  # the start of this line was skipped

    def lines(self) -> Iterator[_Line]:
        """The new complete lines."""
        while True:
            yield from self._opened()
            if self._file is None:
                return
            yield from self._rest()
            if self._files.last_part() < self._part:
                return
            # The part is finished: read again, for lines written after the last read and before the end.
            yield from self._rest()
            yield from self.half()
            self._done = self._part
            self.close()

    def half(self) -> Iterator[_Line]:
        """The incomplete last line, once the recorder writes no more to the file."""
        if self._half:
            line, self._half = self._half, b""
            if self._skipping:
                return
            yield self._files.events, self._number + 1, line

    def close(self) -> None:
        """Close the file; the next look opens the live file again."""
        if self._file is not None:
            self._file.close()
        self._file, self._number, self._half, self._skipping = None, 0, b"", False

    def _opened(self) -> Iterator[_Line]:
        """Yield the lines of finished parts; then open the live file, if none is open and it exists."""
        while self._file is None:
            newest = self._files.last_part()
            for number, path in self._files.numbered_parts():
                if self._done < number <= newest:
                    for index, line in read_lines(path, self._on_bad):
                        yield path, index, line
                    self._done = number
            try:
                file = self._files.events.open("rb")
            except FileNotFoundError:
                file = None
            if self._files.last_part() != newest:
                # The recorder has just finished a part: this file may be that part, or its successor.
                if file is not None:
                    file.close()
                continue
            if file is None:
                return
            self._file, self._part = file, newest + 1

    def _rest(self) -> Iterator[_Line]:
        """The complete lines to the end of the open file."""
        assert self._file is not None
        for piece in iter(partial(self._file.readline, MAX_LINE), b""):
            self._half += piece
            if self._half.endswith(b"\n"):
                line, self._half = self._half, b""
                self._number += 1
                skipped, self._skipping = self._skipping, False
                if not skipped:
                    yield self._files.events, self._number, line
            elif len(self._half) >= MAX_LINE:
                if not self._skipping:
                    self._on_bad(too_long(self._files.events, self._number + 1))
                self._half, self._skipping = b"", True


def _events(line: _Line, on_bad: Callable[[BadLine], None]) -> Iterator[Event]:
    path, number, text = line
    if text.isspace():
        return
    try:
        yield decode(text)
    except EventError as error:
        on_bad(BadLine(path, number, str(error)))

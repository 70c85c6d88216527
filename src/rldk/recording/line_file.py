"""Appending lines to the files beside the events: resources, checkpoints, samples.

Invariant: a line is one `os.write` to an `O_APPEND` descriptor, behind a whole line; nothing raises. A line
waits for a disk that does not answer. Unlike an event, a line that the disk refuses is given up, reported
once and counted.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from rldk._after_fork import disown_in_child
from rldk._log import warn
from rldk.recording.disk import WAIT_SECONDS, Disk, Job
from rldk.recording.lines import Lines
from rldk.schema.event import escaped

__all__ = ["MAX_WAITING_BYTES", "LineFile"]

MAX_WAITING_BYTES = 8_000_000
"""How much of a file may wait in memory for the disk; then the oldest lines are lost, and counted."""


class LineFile:
    """A file of JSON lines that is made with its first line.

    Args:
        path: where; what stands there stays, and a torn last line is ended first.
        disk: the disk of the file; one of its own by default.
    """

    def __init__(self, path: Path, disk: Disk | None = None) -> None:
        self.path = path
        """The file."""
        self._disk = disk or Disk()
        self._drain_job, self._close_job = Job(self._drain), Job(self._drain_and_close)
        self._lines = Lines(MAX_WAITING_BYTES)
        self._refused = 0
        self._is_appending = False
        self._fd = -1
        self._size = 0
        self._lock = threading.Lock()  # of the descriptor
        self._disowned = False
        disown_in_child(self)

    @property
    def lost(self) -> int:
        """Lines that the disk refused, or kept waiting for too long."""
        return self._refused + self._lines.dropped

    @property
    def waiting(self) -> int:
        """Lines that are only in memory."""
        return len(self._lines) + self._is_appending

    def write(self, *values: Any, wait_s: float = WAIT_SECONDS) -> bool:
        """Append each value as a line of strict JSON; whether all are with the operating system.

        Args:
            values: anything that JSON can hold.
            wait_s: how long to wait for the disk at most; then the lines wait in memory.
        """
        if self._disowned:
            return False
        lost = self.lost
        for value in values:
            try:
                self._lines.add(_encoded(value) + b"\n")
            except Exception:  # a value of a strange type, or nested beyond reason
                self._refused += 1
        return self._disk.run(self._drain_job, wait_s) and self.lost == lost

    def flush(self) -> bool:
        """Wait for the lines that were written without waiting."""
        return self._disk.run(self._drain_job)

    def close(self) -> None:
        """Let go of the file; a later line opens it again."""
        self._disk.run(self._close_job)

    def disown(self) -> None:
        """In a forked child: close its copy of the descriptor and write nothing from now on."""
        self._disowned = True
        self._lock = threading.Lock()  # another thread of the parent may hold the old one for ever
        self._let_go()

    # What touches the file, in the disk's thread.

    def _drain(self) -> None:
        with self._lock:
            while line := b"".join(self._lines.take(0)):
                self._is_appending = True
                self._append(line)
                self._is_appending = False

    def _drain_and_close(self) -> None:
        self._drain()
        with self._lock:
            self._let_go()

    def _append(self, line: bytes) -> None:
        try:
            if self._fd >= 0 and self._is_gone():
                self._let_go()
            if self._fd < 0:
                self._open()
            line = self._behind_a_line(line)
            written = os.write(self._fd, line)
            if written == len(line):
                self._size += written
                return
            reason = "only a part of a line was taken"
        except OSError as error:
            reason = error.strerror or str(error)
        if not self._refused:
            warn("rldk: cannot write %s (%s); training goes on", self.path, reason)
        self._refused += 1

    def _is_gone(self) -> bool:
        """Whether the open file was deleted."""
        try:
            return os.fstat(self._fd).st_nlink == 0
        except OSError:  # a network disk does not know it any more (ESTALE)
            return True

    def _behind_a_line(self, line: bytes) -> bytes:
        """The line, with a newline before it where the file ends within another one."""
        size = os.fstat(self._fd).st_size
        if size == self._size:
            return line
        self._size = size
        return line if os.pread(self._fd, 1, max(size - 1, 0)) in (b"\n", b"") else b"\n" + line

    def _let_go(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._size = 0


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate
        return msgspec.json.encode(escaped(msgspec.to_builtins(value)))

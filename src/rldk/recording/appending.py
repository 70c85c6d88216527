"""Appending lines to the files beside the events: resources, checkpoints, samples.

Invariant: a line is one `os.write` to an `O_APPEND` descriptor, behind a whole line; nothing raises. Unlike
an event, a line that the disk refuses is given up, said once and counted.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from rldk.event import escaped
from rldk.fork import give_up_in_child
from rldk.speech import warn

__all__ = ["LineFile"]

_LOCK_SECONDS = 5.0
"""How long a line waits for another of the same file: a signal handler may have interrupted its writer."""


class LineFile:
    """A file of JSON lines that is made with its first line.

    Args:
        path: where; what stands there stays, and a torn last line is ended first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        """The file."""
        self.lost = 0
        """Lines that the disk refused."""
        self._fd = -1
        self._torn = False
        self._lock = threading.Lock()
        self._disowned = False
        give_up_in_child(self)

    def write(self, value: Any) -> bool:
        """Append `value` as a line of strict JSON; whether it is with the operating system."""
        with self._alone() as alone:
            if alone:
                return self._append(value)
            self.lost += 1
            return False

    def write_all(self, waiting: "deque[Any]") -> bool:
        """Append what waits, the oldest first, and take it away; another thread may add to it meanwhile.

        False where another writer of the file did not make way: all of it waits on, and nothing is lost.
        """
        with self._alone() as alone:
            while alone and waiting:
                self._append(waiting.popleft())
            return alone

    def close(self) -> None:
        """Let go of the file; a later line opens it again. One that is still being written stays open."""
        with self._alone() as alone:
            if alone:
                self._let_go()

    def disown(self) -> None:
        """In a forked child: close its copy of the descriptor and write nothing from now on."""
        self._disowned = True
        self._lock = threading.Lock()  # another thread of the parent may hold the old one for ever
        self._let_go()

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Keep others from the descriptor, whose number may be another file's once it is closed; whether
        they made way.
        """
        lock = self._lock
        alone = lock.acquire(timeout=_LOCK_SECONDS)
        try:
            yield alone
        finally:
            if alone:
                lock.release()

    # All below is called by one thread at a time.

    def _append(self, value: Any) -> bool:
        if self._disowned:
            return False
        try:
            line = _encoded(value) + b"\n"
        except Exception:  # a value of a strange type, or nested beyond reason
            self.lost += 1
            return False
        try:
            if self._fd >= 0 and os.fstat(self._fd).st_nlink == 0:  # it was deleted: a new one is begun
                self._let_go()
                self._torn = False
            if self._fd < 0:
                self._open()
            line = b"\n" + line if self._torn else line
            self._torn = os.write(self._fd, line) < len(line)
            if not self._torn:
                return True
            reason = "only a part of a line was taken"
        except OSError as error:
            reason = error.strerror or str(error)
        if not self.lost:
            warn("rldk: cannot write %s (%s); training goes on", self.path, reason)
        self.lost += 1
        return False

    def _let_go(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def _open(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        size = os.fstat(self._fd).st_size
        self._torn = size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"


def _encoded(value: Any) -> bytes:
    try:
        return msgspec.json.encode(value)
    except UnicodeEncodeError:  # a lone surrogate
        return msgspec.json.encode(escaped(msgspec.to_builtins(value)))

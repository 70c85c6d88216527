"""The lock of a run: one live process records it.

Invariant: while a process that holds a `RunLock` lives, `is_locked` is true and no other `acquire`
succeeds; when it dies, however it dies, the kernel frees the lock. A forked child never holds it.
Where the file system knows no locks (some network disks), everything counts as free.
"""

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from rldk._after_fork import disown_in_child

__all__ = ["RunLock", "is_locked"]

_TRIES = 4
_PAUSE = 0.02  # `is_locked` of another process may hold a shared lock for an instant


class RunLock:
    """An exclusive `flock` on a file; made by `acquire`."""

    def __init__(self, descriptor: int) -> None:
        self._fd = descriptor
        disown_in_child(self)

    @classmethod
    def acquire(cls, path: Path) -> "RunLock | None":
        """The lock, or None where another live process (or another lock of this one) holds it."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError:
            return cls(-1)  # the disk refuses everything: the writer will say so
        for attempt in range(_TRIES):
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if attempt < _TRIES - 1:
                    time.sleep(_PAUSE)
            except OSError:
                break
            else:
                return cls(fd)
        else:
            os.close(fd)
            return None
        return cls(fd)

    def release(self) -> None:
        """Let go of the lock."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def disown(self) -> None:
        """In a forked child: close its descriptor; the parent's lock stands."""
        with suppress(OSError):
            self.release()


def is_locked(path: Path) -> bool:
    """Whether a live process holds the lock at `path`."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False

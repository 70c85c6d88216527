"""Hearing of signals while the main thread is in C and cannot: Python runs its handlers in that thread alone.

Owns Python's wakeup descriptor of signals. Invariant: whoever held the descriptor before, an event loop, gets
each signal as ever; a signal of another process, a forked child that has not let go yet, is not heard.
"""

import os
import signal
import socket
import struct
import threading
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

__all__ = ["SignalListener"]

STOP_SECONDS = 2.0
"""How long `stop` waits for the thread, which holds what it calls."""
_TRIO = "It looks like Trio's signal handling code"
"""Trio warns where somebody listens; it takes the descriptor while it runs, and gives it back."""
_CREDENTIALS = struct.Struct("3i")
"""The process, the user and the group of who wrote to a socket: by the kernel, so nobody can lie."""


class SignalListener:
    """Listens in a thread of its own.

    Args:
        heard: called with each signal that this process got and that Python handles.
    """

    def __init__(self, heard: Callable[[int], None]) -> None:
        self._heard = heard
        self._pid = os.getpid()
        self._before = self._onward = -1  # who listened before, and a descriptor of ours for that
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Begin to listen, from the main thread; whether there is a thread and a socket for it."""
        try:
            self._reader, self._writer = socket.socketpair()
        except OSError:
            return False
        with suppress(OSError, AttributeError):  # not known to this system: then no child is told apart
            self._reader.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._writer.setblocking(False)
        thread = threading.Thread(target=self._listen, name="rldk-signals", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads
            self._close()
            return False
        self._thread = thread
        self._before = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
        with suppress(OSError):  # of our own: the number may be another file's once they have closed it
            self._onward = os.dup(self._before) if self._before >= 0 else -1
        warnings.filterwarnings("ignore", _TRIO, RuntimeWarning)
        self._filter = warnings.filters[0]
        return True

    def stop(self) -> None:
        """Listen no more, from the main thread: who listened before does so again."""
        self._let_go()
        if self._thread is not None:
            self._thread.join(STOP_SECONDS)

    def disown(self) -> None:
        """In a forked child, which has no thread of its parent's."""
        self._thread = None
        self._let_go()

    def _let_go(self) -> None:
        with suppress(ValueError):
            cast(list[Any], warnings.filters).remove(self._filter)
        with suppress(ValueError):  # not in the main thread
            current = signal.set_wakeup_fd(-1)
            if current == self._writer.fileno():
                current = self._before
            with suppress(OSError, ValueError):  # closed by now
                signal.set_wakeup_fd(current, warn_on_full_buffer=False)
            self._close()

    def _close(self) -> None:
        self._writer.close()
        if self._thread is None:  # else the thread closes what it reads
            self._reader.close()
            self._close_onward()

    def _close_onward(self) -> None:
        onward, self._onward = self._onward, -1
        if onward >= 0:
            with suppress(OSError):
                os.close(onward)

    def _listen(self) -> None:
        with self._reader as reader:
            while content := self._read(reader):
                for signum in content:
                    with suppress(Exception):
                        self._heard(signum)
        self._close_onward()

    def _read(self, reader: socket.socket) -> bytes | None:
        """The next signals of this process; None where nobody writes any more."""
        while True:
            try:
                content, ancillary, _, _ = reader.recvmsg(64, socket.CMSG_SPACE(_CREDENTIALS.size))
            except OSError:
                return None
            if not content:
                return None
            if self._onward >= 0:
                with suppress(OSError):  # theirs is full, or closed
                    os.write(self._onward, content)
            if all(_CREDENTIALS.unpack(data)[0] == self._pid for _, _, data in ancillary):
                return content

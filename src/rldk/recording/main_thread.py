"""Having the main thread do what no other thread can do, as `signal.signal`.

Invariant: nobody waits for the main thread, which may be in C for long; what it is asked for, it does in the
order of asking as soon as it runs Python again.
"""

import ctypes
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress

__all__ = ["in_main_thread"]

_waiting: deque[Callable[[], None]] = deque()


def in_main_thread(call: Callable[[], None]) -> None:
    """Call now where this is the main thread, else have it called there, between two of its instructions."""
    if threading.current_thread() is threading.main_thread():
        call()
        return
    _waiting.append(call)
    with suppress(Exception):  # an interpreter without this function
        ctypes.pythonapi.Py_AddPendingCall(_pending, None)


def _call_waiting(_: object) -> int:
    while _waiting:
        with suppress(Exception):
            _waiting.popleft()()
    return 0


_pending = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_call_waiting)
"""Kept for as long as the interpreter may call it."""

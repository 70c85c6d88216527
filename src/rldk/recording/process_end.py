"""What is to be done when this process ends.

Invariant: what is registered is called once at the end of the process, the newest first, also in a process of
`multiprocessing`, which leaves without Python's exit handlers.
"""

import atexit
import multiprocessing
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.util import Finalize

__all__ = ["at_process_end", "not_at_process_end"]

_finalizers: dict[Callable[[], None], Finalize] = {}


def at_process_end(call: Callable[[], None]) -> None:
    """Have `call` called when this process ends, before all that was registered earlier.

    In a process of multiprocessing, an exception that ends it is being handled then.
    """
    not_at_process_end(call)
    atexit.register(call)
    if multiprocessing.parent_process() is not None:
        _finalizers[call] = Finalize(None, _call_once, (call,), exitpriority=0)


def not_at_process_end(call: Callable[[], None]) -> None:
    """Do not call `call` when this process ends."""
    atexit.unregister(call)
    if (finalizer := _finalizers.pop(call, None)) is not None:
        with suppress(Exception):  # multiprocessing takes itself apart at the end of the interpreter
            finalizer.cancel()


def _call_once(call: Callable[[], None]) -> None:
    """A process that was spawned runs Python's exit handlers, too."""
    not_at_process_end(call)
    call()

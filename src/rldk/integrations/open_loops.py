"""The recordings of loops in this process that are open outside of a `with` block.

Invariant: a recording that another one of its name replaces is ended; but not while the function that began
it may be running, as in another thread, or around the loop that begins.
"""

import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import NamedTuple

__all__ = ["begin_loop", "end_loop"]

_SUSPENDED = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR
"""Flags of functions that may be running without being on a stack."""


class _OpenLoop(NamedTuple):
    run: tuple[Path, str]
    """The folder and the name that were asked for."""
    code: CodeType
    """The function that began it; not its frame, which would keep its variables alive."""
    end: Callable[[], None]


_open: dict[int, _OpenLoop] = {}
"""By the id of the recording."""


def begin_loop(owner: object, end: Callable[[], None], folder: Path, name: str, caller: FrameType) -> None:
    """Note that a recording is open, and end the one of the same run that it replaces.

    Args:
        owner: the recording.
        end: ends it, as one that was not closed.
        folder: the folder of its files.
        name: the name that was asked for.
        caller: the frame that begins it.
    """
    for earlier in [*_open.values()]:
        if earlier.run == (folder, name) and not _may_be_running(earlier.code, caller):
            earlier.end()
    _open[id(owner)] = _OpenLoop((folder, name), caller.f_code, end)


def end_loop(owner: object) -> None:
    """Note that a recording is over, or in a `with` block that ends it."""
    _open.pop(id(owner), None)


def _may_be_running(code: CodeType, caller: FrameType) -> bool:
    """Whether a function may be running, other than as `caller`."""
    if code.co_flags & _SUSPENDED:
        return True
    for innermost in sys._current_frames().values():  # noqa: SLF001 - the documented way to a stack
        frame: FrameType | None = innermost
        while frame is not None:
            if frame.f_code is code and frame is not caller:
                return True
            frame = frame.f_back
    return False

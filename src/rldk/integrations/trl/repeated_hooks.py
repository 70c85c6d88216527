"""The hooks of a callback that its trainer was given several times, which are called as often at each event.

Invariant: each event is recorded once, and a callback that was given once pays nothing for it.
"""

from collections.abc import Callable
from itertools import count
from typing import Any

__all__ = ["call_each_once", "call_every_time"]

_COUNTED = ("on_step_begin", "on_substep_end", "on_step_end", "on_save", "on_train_end")


def call_each_once(callback: Any, copies: int) -> None:
    """Have the hooks of a callback do their work at the first of so many calls."""
    call_every_time(callback)
    for name in _COUNTED:
        setattr(callback, name, _first_of(copies, getattr(callback, name)))
    callback.on_log = _once_a_log(callback.on_log)


def call_every_time(callback: Any) -> None:
    """Have the hooks do their work at each call again."""
    for name in (*_COUNTED, "on_log"):
        vars(callback).pop(name, None)


def _first_of(copies: int, hook: Callable[..., None]) -> Callable[..., None]:
    calls = count()

    def first(*args: Any, **kwargs: Any) -> None:
        if next(calls) % copies == 0:
            hook(*args, **kwargs)

    return first


def _once_a_log(hook: Callable[..., None]) -> Callable[..., None]:
    """A trainer hands the same dict to all its callbacks, and another one at the next log."""
    last: Any = None

    def once(*args: Any, logs: Any = None, **kwargs: Any) -> None:
        nonlocal last
        if logs is None or logs is not last:
            last = logs
            hook(*args, logs=logs, **kwargs)

    return once

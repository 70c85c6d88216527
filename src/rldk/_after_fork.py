"""Forked children give up what their parent records.

A DataLoader worker inherits every descriptor, every lock and every signal handler of the training. Invariant:
in a forked child each registered owner has let go before any other code runs there, those with signals first;
until then a signal that rldk handles waits, so that it ends the child, and the child alone.
"""

import os
import signal
import threading
import weakref
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

__all__ = ["disown_in_child", "keep_in_child"]


class Owner(Protocol):
    """Something that holds descriptors or signal handlers of a run."""

    def disown(self) -> None:
        """Close the child's copies of the descriptors and do nothing from now on."""


_owners: "weakref.WeakSet[Owner]" = weakref.WeakSet()
_signals: "weakref.WeakKeyDictionary[Owner, frozenset[int]]" = weakref.WeakKeyDictionary()
"""Owners with signal handlers, and their signals."""


class _ForkState(threading.local):
    """The signal masks of this thread before each fork that has begun: a hook of a fork may fork itself."""

    def __init__(self) -> None:
        self.masks: list[set[int] | None] = []


_fork_state = _ForkState()


def disown_in_child(owner: Owner, signals: Iterable[int] = ()) -> None:
    """Have `owner.disown()` called in each child forked from now on, while `owner` lives.

    Args:
        owner: what is to let go.
        signals: what it handles. These signals wait while a fork goes on.
    """
    keep_in_child(owner)
    if held := frozenset(signals):
        _signals[owner] = held
    else:
        _owners.add(owner)


def keep_in_child(owner: Owner) -> None:
    """`owner` holds nothing that a child must let go of, by now."""
    _signals.pop(owner, None)
    _owners.discard(owner)


def _before_fork() -> None:
    """Have our signals wait: a child that takes one before it let go writes into its parent's pipe."""
    held = frozenset[int]().union(*list(_signals.values()))
    _fork_state.masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()) if held else None)
    if held:
        signal.pthread_sigmask(signal.SIG_BLOCK, held)


def _after_fork() -> None:
    """Also called where the fork failed."""
    mask = _fork_state.masks.pop() if _fork_state.masks else None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _in_child() -> None:
    try:
        for owner in [*_signals, *_owners]:
            with suppress(Exception):
                owner.disown()
    finally:
        _after_fork()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)

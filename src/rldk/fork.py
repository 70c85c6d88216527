"""Forked children give up what their parent records.

A DataLoader worker inherits every descriptor and every lock of the training. Invariant: in a forked
child each registered owner has let go of its descriptors before any other code runs there, so that
only the process that opened a run writes to it and holds its lock.
"""

import os
import weakref
from typing import Protocol

__all__ = ["give_up_in_child"]


class Owner(Protocol):
    """Something that holds descriptors of a run."""

    def disown(self) -> None:
        """Close the child's copies of the descriptors and do nothing from now on."""


_owners: "weakref.WeakSet[Owner]" = weakref.WeakSet()


def give_up_in_child(owner: Owner) -> None:
    """Have `owner.disown()` called in each child forked from now on, while `owner` lives."""
    _owners.add(owner)


def _after_fork() -> None:
    for owner in list(_owners):
        owner.disown()


os.register_at_fork(after_in_child=_after_fork)

"""What the ranks of a training tell each other: short notices that each may put up and read.

Invariant: nobody waits for another rank. One that died, or on which rldk is switched off, has put up nothing,
and that is all the others learn of it.
"""

import time
from collections.abc import Callable
from typing import Protocol

__all__ = ["Notice", "RankNotices", "SingleProcess"]

FIRST_PAUSE = 0.1
"""Seconds before a notice that was not there is asked for again; each pause is twice the one before."""
LONGEST_PAUSE = 60.0


class RankNotices(Protocol):
    """The notices of one training, as its framework can exchange them."""

    @property
    def rank(self) -> int:
        """This process, counted from 0."""

    @property
    def world_size(self) -> int:
        """Number of processes."""

    @property
    def is_available(self) -> bool:
        """Whether a notice of this rank reaches the others."""

    def publish(self, what: str, text: str) -> None:
        """Put up a notice of this rank."""

    def read(self, what: str, rank: int) -> str | None:
        """The notice of a rank; None where there is none by now."""


class SingleProcess:
    """The notices of a process that exchanges none with the others.

    Args:
        world_size: number of processes.
    """

    rank = 0
    is_available = False

    def __init__(self, world_size: int = 1) -> None:
        self.world_size = world_size

    def publish(self, what: str, text: str) -> None:
        """Nobody reads it."""

    def read(self, what: str, rank: int) -> str | None:
        """None: nobody wrote one."""


class Notice:
    """A notice that may never come, as its rank may not record: it is asked for less and less often.

    Args:
        notices: where it is put up.
        what: the notice.
        rank: who puts it up.
        clock: gives seconds.
    """

    def __init__(
        self, notices: RankNotices, what: str, rank: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._notices, self._what, self._rank, self._clock = notices, what, rank, clock
        self._pause = FIRST_PAUSE
        self._ask_at: float | None = None

    def read(self, *, at_once: bool = False) -> str | None:
        """Its text; None where it is not there, or where the time to ask again has not come.

        Args:
            at_once: ask whatever the time.

        Raises:
            RuntimeError: the store cannot be reached.
        """
        now = self._clock()
        if not at_once and self._ask_at is not None and now < self._ask_at:
            return None
        self._ask_at, self._pause = now + self._pause, min(2 * self._pause, LONGEST_PAUSE)
        return self._notices.read(self._what, self._rank)

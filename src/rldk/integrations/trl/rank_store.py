"""What the ranks of one training tell each other, by the key-value store of torch.distributed.

Invariant: no collective, and nothing here waits for another rank: a rank that died, or on which rldk is
switched off, has told nothing, and that is all the others learn of it.
"""

import itertools
from typing import Any

import torch.distributed

__all__ = ["RankStore"]

_trainings = itertools.count(1)
"""Trainings begun in this process: the ranks of a job begin the same ones, in the same order."""


class RankStore:
    """The notices of one training.

    Args:
        rank: this process, as `args.process_index`.
        world_size: number of processes.
    """

    def __init__(self, rank: int, world_size: int) -> None:
        self.rank = rank
        """This process."""
        self.world_size = world_size
        """Number of processes."""
        self._training = next(_trainings)
        self._store = _store() if world_size > 1 else None

    @property
    def is_available(self) -> bool:
        """Whether what this rank tells reaches the others."""
        return self._store is not None

    def publish(self, what: str, text: str) -> None:
        """Put up a notice of this rank.

        Raises:
            RuntimeError: the store cannot be reached.
        """
        if self._store is not None:
            self._store.set(self._key(what, self.rank), text)

    def read(self, what: str, rank: int) -> str | None:
        """The notice of a rank; None where there is none by now.

        Raises:
            RuntimeError: the store cannot be reached.
        """
        key = self._key(what, rank)
        if self._store is None or not self._store.check([key]):
            return None
        return bytes(self._store.get(key)).decode(errors="replace")

    def missing(self, what: str) -> list[int]:
        """The ranks that have put up no such notice.

        Raises:
            RuntimeError: the store cannot be reached.
        """
        if self._store is None:
            return []
        if self._store.check([self._key(what, rank) for rank in range(self.world_size)]):
            return []
        return [rank for rank in range(self.world_size) if not self._store.check([self._key(what, rank)])]

    def _key(self, what: str, rank: int) -> str:
        return f"rldk/{self._training}/{what}/{rank}"


def _store() -> Any:
    """The store that the process group was made with; None where there is none.

    The only function that gives it has a leading underscore, in every torch since 1.8; without it the ranks
    tell each other nothing.
    """
    try:
        return torch.distributed.distributed_c10d._get_default_store()  # noqa: SLF001
    except (AttributeError, RuntimeError, ValueError):
        return None

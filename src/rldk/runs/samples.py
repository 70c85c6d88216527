"""Samples: prompts, completions and their rewards.

Invariant: each sample of a source comes once, in the order of the steps; unreadable lines go to the run's bad
lines. A source is read in small batches, and only on demand.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec

from rldk.runs.line_reader import BadLine
from rldk.schema.event import Phase
from rldk.schema.sample import End, Text, Why

__all__ = ["OnBad", "Sample", "SampleSource", "Samples", "Text"]

OnBad = Callable[[BadLine], None]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A completion of the policy, as rldk observed it or from the trainer's own table."""

    step: int
    """`global_step` at the time of the log."""
    prompt: Text
    """The prompt: text, or the messages of a conversation."""
    completion: Text
    """The completion: text, or messages."""
    rewards: dict[str, float | None]
    """The value of each reward function, before weights; None if it returned None or NaN."""
    advantage: float | None = None
    """The weight in the loss; None if the trainer has no advantages, and for samples of rldk."""
    extra: dict[str, Any] = {}
    """Further columns of the trainer's table, such as the columns of TRL's `log_extra`."""
    phase: Phase = "train"
    """`train` or `eval`; samples of the trainer's tables are always `train`."""
    group: int | None = None
    """Number of the prompt in the step, from 0; None for samples of the trainer's table."""
    index: int | None = None
    """Number of the completion in the step, from 0; None as above."""
    reward: float | None = None
    """The weighted sum of its rewards; None if the weights are unknown or there is no value."""
    length: int | None = None
    """Number of tokens in the completion; None if unknown."""
    end: End | None = None
    """How the completion ended; None if unknown."""
    why: tuple[Why, ...] = ()
    """Why rldk kept it; empty for samples of the trainer's table."""
    cut_chars: int = 0
    """Number of characters of prompt and completion that rldk left out."""

    @property
    def score(self) -> float | None:
        """`reward`; if unknown, the unweighted sum of the values of the functions."""
        if self.reward is not None:
            return self.reward
        given = [value for value in self.rewards.values() if value == value and value is not None]  # noqa: PLR0124
        return sum(given) if given else None

    @property
    def missing(self) -> list[str]:
        """The reward functions that gave no value."""
        return [name for name, value in self.rewards.items() if value is None or value != value]  # noqa: PLR0124


class SampleSource(Protocol):
    """A file of samples."""

    @property
    def path(self) -> Path:
        """The file."""

    def read(self, on_bad: OnBad) -> Iterator[Sample]:
        """The samples of the file.

        Raises:
            MissingDependencyError: the package that reads such files is not installed.
        """

    def count(self, on_bad: OnBad) -> int:
        """The number of samples, found as cheaply as the file allows.

        Raises:
            MissingDependencyError: as `read`.
        """


class Samples:
    """The samples of a run: iterate as often as you like; `len` reads as little as it can.

    Both raise MissingDependencyError if there are tables and pyarrow is not installed.

    Args:
        sources: the files, in the order of their steps.
        new_pass: starts a pass; returns the function that takes unreadable lines and tables.
    """

    def __init__(self, sources: Sequence[SampleSource], new_pass: Callable[[], OnBad]) -> None:
        self.sources = sources
        """The files."""
        self._new_pass = new_pass

    def __iter__(self) -> Iterator[Sample]:
        on_bad = self._new_pass()
        for source in self.sources:
            yield from source.read(on_bad)

    def __len__(self) -> int:
        on_bad = self._new_pass()
        return sum(source.count(on_bad) for source in self.sources)

    def spread(self, most: int) -> "Samples":
        """The samples of at most `most` files: the first, and others evenly spread."""
        every = -(-len(self.sources) // most)
        return Samples(self.sources[:: max(every, 1)], self._new_pass)

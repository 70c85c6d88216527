"""What the policy was asked, what it wrote, and what that was worth: the samples behind a reward.

Invariant: each sample of a source comes once, in the order of the steps; what cannot be read goes to the
run's bad lines. A source is read piece by piece, and only when it is wanted.
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
    """One completion of the policy: as rldk observed it, or as the trainer's own table has it."""

    step: int
    """`global_step` at which it was logged."""
    prompt: Text
    """What the policy was asked."""
    completion: Text
    """What it wrote."""
    rewards: dict[str, float | None]
    """The value of each reward function, before weights; None where it gave none, or NaN."""
    advantage: float | None = None
    """What the loss was weighted with; None where the trainer has none, and of samples of rldk."""
    extra: dict[str, Any] = {}
    """Further columns of the trainer's table, such as those of TRL's `log_extra`."""
    phase: Phase = "train"
    """`train` or `eval`; the trainer's tables hold both under `train`."""
    group: int | None = None
    """Which prompt of the step, counted from 0; None where the trainer's table has it."""
    index: int | None = None
    """Which completion of the step, counted from 0; None as above."""
    reward: float | None = None
    """The weighted sum of its rewards; None where the weights are not known, or nothing was given."""
    length: int | None = None
    """Tokens of the completion; None where they were not counted."""
    end: End | None = None
    """How the completion ended; None where that cannot be known."""
    why: tuple[Why, ...] = ()
    """What it was kept for; empty where all of a step were kept."""
    cut_chars: int = 0
    """Characters of prompt and completion that were left out when it was recorded."""

    @property
    def score(self) -> float | None:
        """`reward`; where it is not known the sum of what the functions gave, unweighted."""
        if self.reward is not None:
            return self.reward
        given = [value for value in self.rewards.values() if value == value and value is not None]  # noqa: PLR0124
        return sum(given) if given else None

    @property
    def missing(self) -> list[str]:
        """The reward functions that gave it nothing."""
        return [name for name, value in self.rewards.items() if value is None or value != value]  # noqa: PLR0124


class SampleSource(Protocol):
    """A file of samples."""

    @property
    def path(self) -> Path:
        """The file."""

    def read(self, on_bad: OnBad) -> Iterator[Sample]:
        """Its samples.

        Raises:
            MissingDependencyError: what reads such files is not installed.
        """

    def count(self, on_bad: OnBad) -> int:
        """How many there are, found as cheaply as the file allows.

        Raises:
            MissingDependencyError: as `read`.
        """


class Samples:
    """The samples of a run: iterate as often as you like; `len` reads no more than it must.

    Both raise MissingDependencyError where there are tables and pyarrow is not installed.

    Args:
        sources: the files, in the order of their steps.
        new_pass: gives what takes the lines and tables that cannot be read.
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
        """Those of at most `most` of the files, the first and others evenly spread over them."""
        every = -(-len(self.sources) // most)
        return Samples(self.sources[:: max(every, 1)], self._new_pass)

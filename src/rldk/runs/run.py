"""`Run`: reads a run, whichever tool recorded it.

Invariant: a `Run` only reads, and each pass gives the same events as long as the log does not change.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from rldk.errors import MissingDependencyError
from rldk.health import Observation, Rule, RunContext, Settings
from rldk.health.text import literal, plain
from rldk.runs.bad_lines import BadLines
from rldk.runs.line_reader import BadLine
from rldk.runs.samples import Samples
from rldk.schema.checkpoint import Analysis
from rldk.schema.event import Event, Phase
from rldk.schema.run_info import RunInfo

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from rldk.runs.columns import ColumnRecord, Columns

__all__ = ["Run", "State"]

State = Literal["running", "ended", "unfinished"]
"""`running`: a live process records it; `ended`: its end is recorded; `unfinished`: it is not."""


class Run(ABC):
    """The events of a run, in order, each train step once. Iterate over it as often as you like.

    `open_run` returns a `RecordedRun` of rldk, or a `ForeignRun` of another tool's log.

    Args:
        path: the log, or the folder and the name of a recorded run.
        run_id: the name of the run.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self.path = path
        """The log, or the folder and the name of a recorded run."""
        self.run_id = run_id
        """The name of the run."""
        self._bad = BadLines()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {plain(str(self.path))}: {plain(', '.join(self._facts()))}>"

    def _repr_markdown_(self) -> str:
        """The same as Markdown, as Jupyter shows it."""
        return f"**{literal(self.run_id)}**: {literal(', '.join(self._facts()))}"

    def _facts(self) -> list[str]:
        """What is known of the run without reading its log."""
        return [self.format]

    @property
    @abstractmethod
    def format(self) -> str:
        """The format of the log: `rldk`, or the name of an adapter."""

    @property
    @abstractmethod
    def dialect(self) -> str | None:
        """The dialect of the metric keys; None if they are canonical, or if no dialect knows any."""

    @property
    @abstractmethod
    def algorithm(self) -> str | None:
        """The training algorithm; None if unknown."""

    @property
    @abstractmethod
    def state(self) -> State:
        """Whether the run is still running; if not, whether its end is recorded."""

    @property
    def info(self) -> RunInfo:
        """The content of `{run_id}_run.json`; an empty `RunInfo()` without such a file."""
        return RunInfo()

    @property
    @abstractmethod
    def checkpoint_folder(self) -> Path | None:
        """The folder where the trainer saves its checkpoints; None if unknown."""

    @abstractmethod
    def __iter__(self) -> Iterator[Event]:
        """The events; unreadable lines go to `bad_lines`."""

    @abstractmethod
    def follow(self, *, poll: float = 0.5) -> Iterator[Event]:
        """The events from the first to the last of a live run, with `poll` seconds between two looks."""

    @abstractmethod
    def last(self, phase: Phase | None = None) -> Event | None:
        """The newest event (of `phase`)."""

    @abstractmethod
    def samples(self) -> Samples:
        """The recorded prompts, completions and rewards."""

    @property
    def has_steps(self) -> bool:
        """Whether the log itself holds steps; else rldk counts its train records."""
        return True

    def analyses(self) -> Iterator[Analysis]:
        """The recorded analyses of its checkpoints."""
        return iter(())

    def observations(self, events: Iterable[Event] | None = None) -> Iterator[Observation]:
        """Everything that a Monitor observes, in order: the events and all other records.

        Args:
            events: the events, such as a wrapped or a live iterator; read from the run by default.
        """
        return map(Observation.of, self if events is None else events)

    def context(self, *, algorithm: str | None = None) -> RunContext:
        """The context for rules, from `{run_id}_run.json`, else from the keys of the log.

        Args:
            algorithm: the algorithm, if the user names it.
        """
        attempt = self.info.newest
        if attempt.recorded:
            context = RunContext.of_attempt(attempt)
        else:
            context = RunContext(algorithm=self.algorithm, dialect=self.dialect)
        return msgspec.structs.replace(context, algorithm=algorithm) if algorithm else context

    def settings(self, rules: Iterable[type[Rule]] = ()) -> Settings:
        """The settings of the live doctor; defaults for unknown and invalid values.

        Args:
            rules: rules of the caller, which may have judged the run.

        Raises:
            TypeError: an entry is not a subclass of Rule.
            ValueError: a rule clashes with another.
        """
        return Settings.of_record(self.info.newest.judging, rules)

    def columns(self, phase: Phase = "train") -> "Columns":
        """The records of a phase as numpy columns: `step`, `wall_time` and each metric.

        A missing value, or a value that was no number, is NaN.
        """
        from rldk.runs.columns import columns_of  # imports numpy only on demand

        return columns_of(self._of_phase(phase))

    @abstractmethod
    def _of_phase(self, phase: Phase) -> Iterator["ColumnRecord"]:
        """The records of a phase, as columns need them."""

    def to_pandas(self, phase: Phase = "train") -> "pd.DataFrame":
        """The columns of a phase as a pandas DataFrame.

        Raises:
            MissingDependencyError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise MissingDependencyError("to_pandas", "pandas") from None
        return pd.DataFrame(self.columns(phase))

    def to_arrow(self, phase: Phase = "train") -> "pa.Table":
        """The columns of a phase as a pyarrow Table.

        Raises:
            MissingDependencyError: pyarrow is not installed.
        """
        try:
            import pyarrow as pa
        except ImportError:
            raise MissingDependencyError("to_arrow", "pyarrow") from None
        return pa.table(self.columns(phase))

    @property
    def bad_lines(self) -> list[BadLine]:
        """The unreadable lines in the passes so far, each once; the first 100,000."""
        return list(self._bad)

    @property
    def bad_count(self) -> int:
        """The number of unreadable lines, which may be more than `bad_lines` has."""
        return len(self._bad)

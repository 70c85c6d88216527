"""A run that is read: `Run`, whoever recorded it.

Invariant: a `Run` only reads, and each pass over it gives the same as long as the log does not change.
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
"""`running`: a live process records it; `ended`: it says how; `unfinished`: it does not."""


class Run(ABC):
    """The events of one run, in order, each train step once. Iterate over it as often as you like.

    `open_run` makes one: a `RecordedRun` of rldk, or a `ForeignRun` of another tool's log.

    Args:
        path: what names the run: a log, or the name of a recorded run in its folder.
        run_id: its name.
    """

    def __init__(self, path: Path, run_id: str) -> None:
        self.path = path
        """What names the run: a log, or the name of a recorded run in its folder."""
        self.run_id = run_id
        """The run's name."""
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
        """Whose metric keys the log has; None where they are canonical, or where no dialect knows any."""

    @property
    @abstractmethod
    def algorithm(self) -> str | None:
        """The training algorithm, as far as it is known."""

    @property
    @abstractmethod
    def state(self) -> State:
        """Whether the run goes on, and if not, whether its end is recorded."""

    @property
    def info(self) -> RunInfo:
        """What `{run_id}_run.json` says; `RunInfo()` of a run that has none."""
        return RunInfo()

    @property
    @abstractmethod
    def checkpoint_folder(self) -> Path | None:
        """Where the trainer saved its checkpoints; None where that is not known."""

    @abstractmethod
    def __iter__(self) -> Iterator[Event]:
        """The events; lines that cannot be read go to `bad_lines`."""

    @abstractmethod
    def follow(self, *, poll: float = 0.5) -> Iterator[Event]:
        """The events from the first on, waiting `poll` seconds at a time for new ones, until the run is
        no longer running.
        """

    @abstractmethod
    def last(self, phase: Phase | None = None) -> Event | None:
        """The newest event (of `phase`)."""

    @abstractmethod
    def samples(self) -> Samples:
        """Prompts, completions and their rewards, as far as they were recorded."""

    def analyses(self) -> Iterator[Analysis]:
        """The analyses of its checkpoints that were recorded."""
        return iter(())

    def observations(self, events: Iterable[Event] | None = None) -> Iterator[Observation]:
        """All that a Monitor is to observe of the run, in order: its events, and what was recorded besides.

        Args:
            events: its events, where they are not to be read straight from it: counted, or as they come.
        """
        return map(Observation.of, self if events is None else events)

    def context(self, *, algorithm: str | None = None) -> RunContext:
        """What is known of the run besides its records: by `{run_id}_run.json`, else by the log's keys.

        Args:
            algorithm: what the user says that it was, where the log does not say it.
        """
        attempt = self.info.newest
        if attempt.recorded:
            context = RunContext.of_attempt(attempt)
        else:
            context = RunContext(algorithm=self.algorithm, dialect=self.dialect)
        return msgspec.structs.replace(context, algorithm=algorithm) if algorithm else context

    def settings(self, rules: Iterable[type[Rule]] = ()) -> Settings:
        """How the run was judged while it was live; the default of what is not known, or not valid now.

        Args:
            rules: rules of the caller, which may have judged it.

        Raises:
            TypeError: one of them is not a Rule.
            ValueError: one of them clashes with another.
        """
        return Settings.of_record(self.info.newest.judging, rules)

    def columns(self, phase: Phase = "train") -> "Columns":
        """The records of a phase as numpy columns: `step`, `wall_time` and each metric.

        NaN stands for what a record does not hold and for what was no number.
        """
        from rldk.runs.columns import columns_of  # numpy is loaded when it is needed

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
        """The lines that could not be read in the passes so far, each once; the first 100,000."""
        return list(self._bad)

    @property
    def bad_count(self) -> int:
        """How many lines could not be read, also beyond those that `bad_lines` holds."""
        return len(self._bad)

"""A run that rldk recorded: `Run`.

Invariant: a `Run` only reads; its events are the same whether the run is live, ended or was killed.
"""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rldk.errors import MissingDependencyError
from rldk.lock import is_locked
from rldk.runs.bad_lines import BadLines
from rldk.runs.event_reader import last_event, read_events, read_records
from rldk.runs.follow import follow
from rldk.runs.line_reader import BadLine
from rldk.runs.sample_lines import SampleLines
from rldk.runs.sample_tables import Table, reward_functions, tables_of
from rldk.runs.samples import Samples
from rldk.schema.event import Event, Phase, decode_slim
from rldk.schema.files import RunFiles
from rldk.schema.run_info import RunInfo, read_run_info

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from rldk.runs.columns import ColumnRecord, Columns

__all__ = ["Run", "State"]

State = Literal["running", "ended", "unfinished"]
FIRST = 50
"""Records whose metrics tell which reward functions there are."""


class Run:
    """The events of one run, in order, each train step once. Iterate over it as often as you like.

    Args:
        files: the run's files.
        parts: the files that hold its events, oldest first; `files.parts()` by default.
    """

    def __init__(self, files: RunFiles, parts: list[Path] | None = None) -> None:
        self.files = files
        """Where the run lies."""
        self._info = RunInfo()
        self._info_version: tuple[int, int, int] | None = None  # of the file that was read last
        self._bad = BadLines()
        self._parts = parts

    @property
    def format(self) -> str:
        """The format of the log: `rldk`."""
        return "rldk"

    @property
    def dialect(self) -> str | None:
        """Whose metric keys these are; rldk's own records hold canonical names: None."""
        return None

    @property
    def algorithm(self) -> str | None:
        """The training algorithm, as `{run_id}_run.json` says; None where it does not."""
        return self.info.newest.algorithm

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.files.run_id

    @property
    def parts(self) -> list[Path]:
        """The files that hold the events, oldest first."""
        return self.files.parts() if self._parts is None else self._parts

    @property
    def _source(self) -> RunFiles | list[Path]:
        return self.files if self._parts is None else self._parts

    @property
    def state(self) -> State:
        """`running`: a live process records it; `ended`: it says how; `unfinished`: it was killed."""
        if self.info.end:
            return "ended"
        return "running" if is_locked(self.files.lock) else "unfinished"

    @property
    def info(self) -> RunInfo:
        """What `{run_id}_run.json` says. The file is read when it is new."""
        try:
            stat = self.files.run.stat()
        except OSError:
            self._info, self._info_version = RunInfo(), None
            return self._info
        version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if version != self._info_version:
            self._info, self._info_version = read_run_info(self.files.run), version
        return self._info

    def __iter__(self) -> Iterator[Event]:
        """The events; superseded branches are left out, bad lines go to `bad_lines`."""
        return read_events(self._source, self._bad.new_pass())

    def follow(self, *, poll: float = 0.5) -> Iterator[Event]:
        """The events from the first on, waiting `poll` seconds at a time for new ones, until the run is
        no longer running. Events of a branch that a resume ends later have been yielded by then.
        A copy under another name is written by nobody: its events are those that are there.
        """
        if self._parts is not None:
            return iter(self)
        return follow(self.files, self._bad.new_pass(), poll=poll, until=lambda: self.state != "running")

    def samples(self) -> Samples:
        """Prompts, completions and their rewards: those that `observe_rewards` recorded, else those of the
        tables that TRL wrote in this run (`log_completions=True`).
        """
        if self.files.samples.exists():
            recorded = SampleLines(self.files.samples, self.info)
            return Samples([recorded], self._bad.new_pass)
        tables = self._tables()
        functions = reward_functions(self._first_metrics()) if tables else None
        return Samples([Table(path, functions) for path in tables], self._bad.new_pass)

    def _tables(self) -> list[Path]:
        """TRL's tables; none where the run's options do not say that they are its own."""
        folder = self.info.trainer_dir
        logs = self.info.newest.args.get("log_completions") is True
        return tables_of(Path(folder)) if logs and folder is not None and Path(folder).is_dir() else []

    def _first_metrics(self) -> set[str]:
        """The names of the metrics of the first records."""
        return {name for event in islice(self, FIRST) for name in event.metrics}

    def columns(self, phase: Phase = "train") -> "Columns":
        """The records of a phase as numpy columns: `step`, `wall_time` and each metric.

        NaN stands for what a record does not hold and for what was no number.
        """
        from rldk.runs.columns import columns_of  # numpy is loaded when it is needed

        return columns_of(self._of_phase(phase))

    def _of_phase(self, phase: Phase) -> Iterator["ColumnRecord"]:
        records = read_records(self._source, decode_slim, self._bad.new_pass())
        return (record for record in records if record.model_info.phase == phase)

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

    def last(self, phase: Phase | None = None) -> Event | None:
        """The newest event (of `phase`), without reading the others."""
        if self._parts is not None:
            return last_event(self._parts, phase)
        while True:
            newest = self.files.last_part()
            try:
                event = last_event(self.parts, phase)
            except FileNotFoundError:
                if self.files.last_part() == newest:
                    raise
                continue  # a part was finished meanwhile
            if self.files.last_part() == newest:
                return event

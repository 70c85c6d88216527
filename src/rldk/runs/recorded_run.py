"""A run that rldk recorded: `RecordedRun`.

Invariant: the events are the same whether the run is live, has ended or was killed.
"""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from rldk.health import Observation
from rldk.lock import is_locked
from rldk.runs.event_reader import last_event, read_events, read_records
from rldk.runs.follow import follow
from rldk.runs.rank_steps import steps_of_ranks
from rldk.runs.run import Run, State
from rldk.runs.run_end import end_of
from rldk.runs.sample_lines import SampleLines
from rldk.runs.sample_tables import Table, reward_functions, tables_of
from rldk.runs.samples import Samples
from rldk.runs.side_files import SideFiles, analyses_in, interleaved
from rldk.schema.checkpoint import Analysis
from rldk.schema.event import Event, Phase, decode_slim
from rldk.schema.files import RunFiles
from rldk.schema.run_info import RunEnd, RunInfo, read_run_info

if TYPE_CHECKING:
    from rldk.runs.columns import ColumnRecord

__all__ = ["RecordedRun"]

FIRST = 50
"""Number of records to read the names of the reward functions from."""


class RecordedRun(Run):
    """A run of rldk. Iterate over it as over any `Run`; it skips steps that a resume replaced.

    Args:
        files: the files of the run.
        parts: the files that hold its events, oldest first; `files.parts()` by default.
    """

    def __init__(self, files: RunFiles, parts: list[Path] | None = None) -> None:
        super().__init__(files.folder / files.run_id, files.run_id)
        self.files = files
        """The paths of the files."""
        self._info = RunInfo()
        self._info_version: tuple[int, int, int] | None = None  # of the file read last
        self._parts = parts

    def _facts(self) -> list[str]:
        """Algorithm, steps and state, by run.json and the newest event."""
        try:
            newest = self.last()
        except OSError:  # there are no events, or they may not be read
            newest = None
        steps = "no steps" if newest is None else f"{newest.step:,} step{'' if newest.step == 1 else 's'}"
        return [*filter(None, [self.algorithm]), steps, self.state]

    @property
    def format(self) -> str:
        """The format of the log: `rldk`."""
        return "rldk"

    @property
    def dialect(self) -> str | None:
        """None: rldk's own records have canonical names."""
        return None

    @property
    def algorithm(self) -> str | None:
        """The training algorithm in `{run_id}_run.json`; None if it names none."""
        return self.info.newest.algorithm

    @property
    def parts(self) -> list[Path]:
        """The files that hold the events, oldest first."""
        return self.files.parts() if self._parts is None else self._parts

    @property
    def _source(self) -> RunFiles | list[Path]:
        return self.files if self._parts is None else self._parts

    @property
    def state(self) -> State:
        """`running`: a live process records it; `ended`: its end is recorded; `unfinished`: it was killed."""
        if self.info.end:
            return "ended"
        return "running" if is_locked(self.files.lock) else "unfinished"

    @property
    def info(self) -> RunInfo:
        """The content of `{run_id}_run.json`, read again only if the file has changed."""
        try:
            stat = self.files.run.stat()
            version = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
            if version != self._info_version:
                self._info, self._info_version = read_run_info(self.files.run), version
        except OSError:  # perhaps for a moment: the next look reads the file again
            self._info, self._info_version = RunInfo(), None
        return self._info

    @property
    def checkpoint_folder(self) -> Path | None:
        """The trainer's `output_dir`; None if unknown."""
        folder = self.info.trainer_dir
        return None if folder is None else Path(folder)

    def __iter__(self) -> Iterator[Event]:
        """The events, without steps that a resume replaced; bad lines go to `bad_lines`."""
        return read_events(self._source, self._bad.new_pass())

    def follow(self, *, poll: float = 0.5) -> Iterator[Event]:
        """The events from the first to the last of a live run, with `poll` seconds between two looks.

        It has already yielded the steps that a later resume replaces. No process writes to a copy under
        another name, so following a copy ends at its last event.
        """
        if self._parts is not None:
            return iter(self)
        return follow(self.files, self._bad.new_pass(), poll=poll, until=lambda: self.state != "running")

    def analyses(self) -> Iterator[Analysis]:
        """The recorded analyses of its checkpoints."""
        return analyses_in(self.files.checkpoints)

    def observations(self, events: Iterable[Event] | None = None) -> Iterator[Observation]:
        """Everything that a Monitor observes, in order: events, side files, steps of the ranks, the end.

        Args:
            events: the events, such as a wrapped or a live iterator; read from the run by default.
        """
        step = 0
        for at in interleaved(self if events is None else events, SideFiles(self.files, self.info)):
            if at.kind == "log":
                step = at.step
            yield at
        yield from steps_of_ranks(self.files)
        if self.state != "running" and self.info != RunInfo():
            yield self.end_observation(step)

    def end_observation(self, step: int, end: RunEnd | None = None) -> Observation:
        """The end of the run, as an Observation.

        Args:
            step: the last recorded step, if the end does not hold it.
            end: the end, if the recorder knows it before the files do.
        """
        try:
            last = self.last("train")
        except OSError:
            last = None
        return end_of(self.files, self.info, last, step, end)

    def samples(self) -> Samples:
        """Prompts, completions and their rewards, from `observe_rewards`.

        Without these, from the tables that TRL wrote in this run (`log_completions=True`).
        """
        if self.files.samples.exists():
            recorded = SampleLines(self.files.samples, self.info)
            return Samples([recorded], self._bad.new_pass)
        tables = self._tables()
        functions = reward_functions(self._first_metrics()) if tables else None
        return Samples([Table(path, functions) for path in tables], self._bad.new_pass)

    def _tables(self) -> list[Path]:
        """TRL's tables; none if the options of the run do not show that it wrote them."""
        folder = self.checkpoint_folder
        logs = self.info.newest.args.get("log_completions") is True
        return tables_of(folder) if logs and folder is not None and folder.is_dir() else []

    def _first_metrics(self) -> set[str]:
        """The names of the metrics of the first records."""
        return {name for event in islice(self, FIRST) for name in event.metrics}

    def _of_phase(self, phase: Phase) -> Iterator["ColumnRecord"]:
        records = read_records(self._source, decode_slim, self._bad.new_pass())
        return (record for record in records if record.model_info.phase == phase)

    def last(self, phase: Phase | None = None) -> Event | None:
        """The newest event (of `phase`); it does not read the others."""
        if self._parts is not None:
            return last_event(self._parts, phase)
        while True:
            newest = self.files.last_part()
            try:
                event = last_event(self.parts, phase)
            except FileNotFoundError:
                if self.files.last_part() == newest:
                    raise
                continue  # the recorder has just finished a part
            if self.files.last_part() == newest:
                return event

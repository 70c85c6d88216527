"""A run that rldk recorded: `RecordedRun`.

Invariant: its events are the same whether the run is live, ended or was killed.
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
"""Records whose metrics tell which reward functions there are."""


class RecordedRun(Run):
    """A run of rldk. Iterate over it as over any `Run`; superseded branches are left out.

    Args:
        files: the run's files.
        parts: the files that hold its events, oldest first; `files.parts()` by default.
    """

    def __init__(self, files: RunFiles, parts: list[Path] | None = None) -> None:
        super().__init__(files.folder / files.run_id, files.run_id)
        self.files = files
        """Where the run lies."""
        self._info = RunInfo()
        self._info_version: tuple[int, int, int] | None = None  # of the file that was read last
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
        """Whose metric keys these are; rldk's own records hold canonical names: None."""
        return None

    @property
    def algorithm(self) -> str | None:
        """The training algorithm, as `{run_id}_run.json` says; None where it does not."""
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
        """`running`: a live process records it; `ended`: it says how; `unfinished`: it was killed."""
        if self.info.end:
            return "ended"
        return "running" if is_locked(self.files.lock) else "unfinished"

    @property
    def info(self) -> RunInfo:
        """What `{run_id}_run.json` says. The file is read when it is new."""
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
        """The trainer's `output_dir`; None where it is not known."""
        folder = self.info.trainer_dir
        return None if folder is None else Path(folder)

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

    def analyses(self) -> Iterator[Analysis]:
        """The analyses of its checkpoints that were recorded."""
        return analyses_in(self.files.checkpoints)

    def observations(self, events: Iterable[Event] | None = None) -> Iterator[Observation]:
        """All that a Monitor is to observe of the run, in order: its events with what was recorded beside
        them, the steps of its ranks side by side, and how it ended, once it is over.

        Args:
            events: its events, where they are not to be read straight from it: counted, or as they come.
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
        """How the run ended, as an Observation.

        Args:
            step: the last step recorded, where the end does not say which was the last that it knew.
            end: how it ended, where its recorder knows it before its files do.
        """
        try:
            last = self.last("train")
        except OSError:
            last = None
        return end_of(self.files, self.info, last, step, end)

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

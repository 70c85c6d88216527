"""What was recorded of a run beside its events, and when its Monitor was told.

Invariant: each line that can be read is told once, after the record that the live Monitor had seen last; what
a resume superseded is left out, and a line that is torn or of another kind is passed over.
"""

import os
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from rldk.health import Observation
from rldk.health.observation import ObservationKind
from rldk.runs.line_reader import MAX_LINE, read_lines
from rldk.schema.checkpoint import Analysis, analysis_of
from rldk.schema.event import Event
from rldk.schema.files import RunFiles
from rldk.schema.run_info import RunInfo

__all__ = ["SideFiles", "analyses_in", "interleaved", "observation"]

KINDS: Mapping[str, ObservationKind] = {"checkpoint": "checkpoint", "stall": "stall"}
"""Lines that a Monitor is told, by their `kind`, and what they are to it."""
_seen_at = itemgetter(0)


def observation(line: Mapping[str, Any]) -> Observation | None:
    """What a line tells a Monitor, live and afterwards; None where that is nothing."""
    kind, step = KINDS.get(str(line.get("kind"))), line.get("step")
    if kind is None or not isinstance(step, int):
        return None
    if kind == "checkpoint":
        found = analysis_of(line.get("analysis"))
        return None if found is None else Observation(step, kind, found.values(), detail=line["analysis"])
    numbers = {key: value for key, value in line.items() if type(value) in (int, float)}
    return Observation(step, kind, numbers, detail=line)


def interleaved(events: Iterable[Event], side_files: "SideFiles") -> Iterator[Observation]:
    """The events of a run with what was recorded beside them, in the order in which a Monitor is told."""
    for event in events:
        yield from side_files.until(event.step)
        yield Observation.of(event)
    yield from side_files.until(None)


def analyses_in(path: Path) -> Iterator[Analysis]:
    """The analyses of checkpoints in a file, those that can be read; none where there is no such file.

    Args:
        path: `RunFiles.checkpoints`.
    """
    try:
        for _, line in read_lines(path):
            try:
                value = msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError):
                continue
            if analysis := analysis_of(value.get("analysis")) if isinstance(value, dict) else None:
                yield analysis
    except OSError:
        return


class SideFiles:
    """The observations beside the events of a run; what is written meanwhile is found, too.

    Args:
        files: the run.
        info: what `{run_id}_run.json` says.
    """

    def __init__(self, files: RunFiles, info: RunInfo) -> None:
        self._info = info
        self._tails = [
            _LineTail(files.checkpoints, b'"checkpoint"'),
            _LineTail(files.resources(), b'"stall"'),
        ]
        self._waiting: list[tuple[int, Observation]] = []

    def until(self, step: int | None) -> Iterator[Observation]:
        """Those that were seen before a record of `step`; None: all that are left."""
        for line in (line for tail in self._tails for line in tail.new()):
            seen_at_step, at = line.get("seen_at_step"), observation(line)
            if at is None or not isinstance(seen_at_step, int):
                continue
            if not self._info.is_superseded(line.get("attempt"), seen_at_step):
                insort(self._waiting, (seen_at_step, at), key=_seen_at)
        count = len(self._waiting) if step is None else bisect_left(self._waiting, step, key=_seen_at)
        due, self._waiting[:count] = self._waiting[:count], []
        yield from (at for _, at in due)


class _LineTail:
    """The lines of a file that were added since the last look and hold `mark`."""

    def __init__(self, path: Path, mark: bytes) -> None:
        self._path = path
        self._mark = mark
        self._done = 0

    def new(self) -> list[dict[str, Any]]:
        try:
            if os.stat(self._path).st_size <= self._done:
                return []
            with self._path.open("rb") as file:
                file.seek(self._done)
                return list(self._decoded(file))
        except OSError:
            return []

    def _decoded(self, file: BinaryIO) -> Iterator[dict[str, Any]]:
        for line in iter(partial(file.readline, MAX_LINE), b""):
            if not line.endswith(b"\n") and len(line) < MAX_LINE:
                return  # it is being written
            self._done += len(line)
            if self._mark not in line:
                continue
            try:
                value = msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError):
                continue
            if isinstance(value, dict):
                yield value

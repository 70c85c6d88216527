"""Reads the records of a run outside its events file, in the order in which the live Monitor observed them.

Invariant: each readable line becomes an Observation once, after the record that the live Monitor had observed
last. Lines that a resume replaced, torn lines and lines of another kind are skipped.
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
"""Kinds of lines for a Monitor, each with the kind of its Observation."""
_seen_at = itemgetter(0)


def observation(line: Mapping[str, Any]) -> Observation | None:
    """The Observation of a line, both live and afterwards; None if it has none."""
    kind, step = KINDS.get(str(line.get("kind"))), line.get("step")
    if kind is None or not isinstance(step, int):
        return None
    if kind == "checkpoint":
        found = analysis_of(line.get("analysis"))
        return None if found is None else Observation(step, kind, found.values(), detail=line["analysis"])
    numbers = {key: value for key, value in line.items() if type(value) in (int, float)}
    return Observation(step, kind, numbers, detail=line)


def interleaved(events: Iterable[Event], side_files: "SideFiles") -> Iterator[Observation]:
    """The Observations of events and side files, in the order of the live Monitor."""
    for event in events:
        yield from side_files.until(event.step)
        yield Observation.of(event)
    yield from side_files.until(None)


def analyses_in(path: Path) -> Iterator[Analysis]:
    """The readable analyses of checkpoints in a file; none if the file does not exist.

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
    """The Observations from the side files of a run; it also finds lines that the recorder adds meanwhile.

    Args:
        files: the run.
        info: the content of `{run_id}_run.json`.
    """

    def __init__(self, files: RunFiles, info: RunInfo) -> None:
        self._info = info
        self._tails = [
            _LineTail(files.checkpoints, b'"checkpoint"'),
            _LineTail(files.resources(), b'"stall"'),
        ]
        self._waiting: list[tuple[int, Observation]] = []

    def until(self, step: int | None) -> Iterator[Observation]:
        """The Observations before a record of `step`; None: all that are left."""
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
    """The new lines of a file since the last look that contain `mark`."""

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
                return  # the recorder is still writing it
            self._done += len(line)
            if self._mark not in line:
                continue
            try:
                value = msgspec.json.decode(line)
            except (msgspec.DecodeError, RecursionError):
                continue
            if isinstance(value, dict):
                yield value

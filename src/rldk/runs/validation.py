"""Checks events files line by line, and reports each line that is no Event, with the reason."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from rldk.errors import EventError
from rldk.runs.line_reader import BadLine, read_lines
from rldk.runs.recorded_run import RecordedRun
from rldk.runs.run import Run
from rldk.schema.event import Event, decode

__all__ = ["Validation", "check", "check_run"]

Line = tuple[int, bytes]
"""A line with its number."""
MAX_SHOWN = 100
"""Most bad lines to keep with their reasons; more are only counted."""


class Validation(NamedTuple):
    """The result of a check."""

    records: int
    """Number of Events."""
    phases: dict[str, int]
    """Number of Events by phase."""
    first_step: int | None
    """Lowest step; None without a record."""
    last_step: int | None
    """Highest step; None without a record."""
    resumes: int
    """Number of records that note a resume."""
    bad: int
    """Number of bad lines."""
    bad_lines: list[BadLine]
    """The first `MAX_SHOWN` bad lines."""


def _unwatched(lines: Iterable[Line]) -> Iterable[Line]:
    return lines


def check_run(
    run: Run,
    events: Iterable[Event] | None = None,
    watch: Callable[[Iterable[Line]], Iterable[Line]] = _unwatched,
) -> Validation:
    """Check a run of rldk line by line, or another tool's log by reading it.

    Args:
        run: the run.
        events: the events of the run, wrapped for example to show progress.
        watch: as for `check`.

    Raises:
        OSError: rldk cannot read a file.
    """
    if isinstance(run, RecordedRun):
        return check(run.parts, watch)
    phases: Counter[str] = Counter()
    first: int | None = None
    last: int | None = None
    for event in run if events is None else events:
        phases[event.phase] += 1
        first = event.step if first is None else min(first, event.step)
        last = event.step if last is None else max(last, event.step)
    shown = run.bad_lines[:MAX_SHOWN]
    return Validation(phases.total(), dict(phases), first, last, 0, run.bad_count, shown)


def check(
    parts: Iterable[Path], watch: Callable[[Iterable[Line]], Iterable[Line]] = _unwatched
) -> Validation:
    """Check every line of the files, except blank lines.

    Args:
        parts: the files.
        watch: wraps the iterator of lines, for example to show progress.

    Raises:
        OSError: rldk cannot read a file.
    """
    phases: Counter[str] = Counter()
    first: int | None = None
    last: int | None = None
    resumes = bad = 0
    shown: list[BadLine] = []

    def refuse(line: BadLine) -> None:
        nonlocal bad
        bad += 1
        if len(shown) < MAX_SHOWN:
            shown.append(line)

    for path in parts:
        for number, line in watch(read_lines(path, refuse)):
            try:
                event = decode(line)
            except EventError as error:
                torn = "" if line.endswith(b"\n") else "the file ends inside this record: "
                refuse(BadLine(path, number, f"{torn}{error}"))
                continue
            phases[event.phase] += 1
            resumes += event.resumed_from is not None
            first = event.step if first is None else min(first, event.step)
            last = event.step if last is None else max(last, event.step)
    return Validation(phases.total(), dict(phases), first, last, resumes, bad, shown)

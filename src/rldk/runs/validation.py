"""Checking events files line by line: what is no Event, where, and why."""

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
"""Bad lines that are kept with their reasons; beyond that they are only counted."""


class Validation(NamedTuple):
    """What `check` found."""

    records: int
    """Lines that are Events."""
    phases: dict[str, int]
    """Events by phase."""
    first_step: int | None
    """Lowest step, None without a record."""
    last_step: int | None
    """Highest step, None without a record."""
    resumes: int
    """Records that say that the run was resumed."""
    bad: int
    """Lines that are no Events."""
    bad_lines: list[BadLine]
    """The first `MAX_SHOWN` of them."""


def _unwatched(lines: Iterable[Line]) -> Iterable[Line]:
    return lines


def check_run(
    run: Run,
    events: Iterable[Event] | None = None,
    watch: Callable[[Iterable[Line]], Iterable[Line]] = _unwatched,
) -> Validation:
    """Check a run: one of ours line by line, a foreign log by reading it.

    Args:
        run: the run.
        events: the run's events, where somebody watches them go by.
        watch: as of `check`.

    Raises:
        OSError: a file cannot be read.
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
    """Read every line of the files. Blank lines are passed over.

    Args:
        parts: the files.
        watch: hands on the lines of each file to one who watches them go by.

    Raises:
        OSError: a file cannot be read.
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
                torn = "" if line.endswith(b"\n") else "the file ends within this record: "
                refuse(BadLine(path, number, f"{torn}{error}"))
                continue
            phases[event.phase] += 1
            resumes += event.resumed_from is not None
            first = event.step if first is None else min(first, event.step)
            last = event.step if last is None else max(last, event.step)
    return Validation(phases.total(), dict(phases), first, last, resumes, bad, shown)

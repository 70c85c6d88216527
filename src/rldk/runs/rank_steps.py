"""Compares the steps of all ranks, from their resources files.

Invariant: memory holds a single line of each file, whatever the length; steps that not every rank recorded,
and unreadable lines, are skipped.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from rldk.health import Observation
from rldk.runs.line_reader import read_lines
from rldk.schema.files import RunFiles
from rldk.schema.process import StepTime

__all__ = ["steps_of_ranks"]

MARK = b'"step_time"'


_decode = msgspec.json.Decoder(StepTime).decode


def steps_of_ranks(files: RunFiles) -> Iterator[Observation]:
    """The times of each step on each rank, as `seconds/0`, `seconds/1`, ...; nothing for a single rank.

    After a resume, which the ranks record at different lines, a few steps may be missing.
    """
    ranks = files.ranks()
    if len(ranks) < 2:
        return
    journals = [_steps(files.resources(rank)) for rank in ranks]
    lines = [next(journal, None) for journal in journals]
    while True:
        here = [line for line in lines if line is not None]
        if len(here) < len(lines):
            return
        steps = {line.step for line in here}
        if len(steps) == 1:
            yield _joined(dict(zip(ranks, here, strict=True)))
        first = min(steps)
        lines = [
            next(journal, None) if line.step == first else line
            for line, journal in zip(here, journals, strict=True)
        ]


def _joined(lines: dict[int, StepTime]) -> Observation:
    values: dict[str, float | None] = {}
    for rank, line in lines.items():
        values[f"seconds/{rank}"] = line.seconds
        if line.cpu_seconds is not None:
            values[f"cpu_seconds/{rank}"] = line.cpu_seconds
        if line.reward_seconds is not None:
            values[f"reward_seconds/{rank}"] = line.reward_seconds
    return Observation(step=next(iter(lines.values())).step, kind="rank", values=values)


def _steps(path: Path) -> Iterator[StepTime]:
    try:
        for _, line in read_lines(path):
            if MARK in line:
                try:
                    yield _decode(line)
                except msgspec.DecodeError:
                    continue
    except OSError:
        return

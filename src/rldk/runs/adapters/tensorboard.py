"""Reads a run's TensorBoard events files, under the keys that transformers' trainers logged.

Invariant: each scalar is in one row, except those that a later attempt of the run superseded.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rldk.errors import AmbiguousRunError
from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row
from rldk.runs.adapters.events_file import scalars
from rldk.runs.adapters.step_rows import StepRows
from rldk.runs.adapters.trainer_keys import trainer_key
from rldk.runs.line_reader import BadLine

__all__ = ["ADAPTER"]

ENOUGH = 200
"""Scalars within which a log of Stable-Baselines3 shows its tags."""


class _Attempt(NamedTuple):
    """One events file, by its first records."""

    path: Path
    began: float
    first_step: int | None
    """None if it holds no step of a training: then it supersedes nothing."""
    as_they_are: bool
    """Whether the tags are Stable-Baselines3's, which transformers' callback did not touch."""


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    attempts = sorted(map(_attempt, _files(path)), key=lambda one: (one.began, one.path.name))
    if not attempts:
        on_bad(BadLine(path, 1, "the folder holds no events file"))
    as_they_are = any(attempt.as_they_are for attempt in attempts)
    for index, attempt in enumerate(attempts):
        later = [one.first_step for one in attempts[index + 1 :] if one.first_step is not None]
        for row in _rows_of_file(attempt.path, as_they_are, on_bad):
            assert row.step is not None
            if not later or row.step < min(later):
                yield row


def _rows_of_file(path: Path, as_they_are: bool, on_bad: OnBad) -> Iterator[Row]:
    rows = StepRows()
    for step, wall_time, tag, value in scalars(path, on_bad):
        key, phase = trainer_key(tag)
        yield from rows.move(step)
        yield from rows.add(wall_time, phase, {tag if as_they_are else key: value})
    yield from rows.close()


def _attempt(path: Path) -> _Attempt:
    """Reads the beginning of a file; a file that holds only a later evaluation is no training."""
    ignored: list[BadLine] = []
    began, first, trained, baselines, known = math.inf, None, False, False, False
    for number, (step, wall_time, tag, _) in enumerate(scalars(path, ignored.append)):
        if first is None:
            first, began = step, wall_time if wall_time is not None else began
        baselines = baselines or tag.startswith(("time/", "rollout/"))
        known = known or baselines or tag == "train/epoch" or number > ENOUGH
        trained = trained or trainer_key(tag)[1] == "train"
        if trained and known:
            break
    return _Attempt(path, began, first if trained else None, baselines)


def _files(path: Path) -> list[Path]:
    """The events files of a run: the file itself, those of the folder, or those of its only sub-folder.

    Raises:
        AmbiguousRunError: several sub-folders hold events files: these are several runs.
    """
    if not path.is_dir():
        return [path]
    if files := _events_files(path):
        return files
    folders = [(folder, files) for folder in sorted(path.iterdir()) if (files := _events_files(folder))]
    if len(folders) > 1:
        raise AmbiguousRunError(path, [str(folder) for folder, _ in folders])
    return folders[0][1] if folders else []


def _events_files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if "tfevents" in path.name and path.is_file()]
    except OSError:  # no folder, or one that others may not look into
        return []


def _confidence(probe: Probe) -> float:
    if probe.is_dir:
        if _events_files(probe.path):
            return 0.95
        return 0.6 if any(_events_files(folder) for folder in probe.path.iterdir()) else 0.0
    # A record begins with a length of 8 bytes; the last ones are 0 in every real file.
    named = "tfevents" in probe.name and (not probe.head or b"\0" in probe.head[:12])
    return 0.95 if named or b"brain.Event:" in probe.head[12:64] else 0.0


ADAPTER = Adapter(
    name="tensorboard",
    what="a TensorBoard events file, or a folder with the events files of one run",
    confidence=_confidence,
    rows=_rows,
)

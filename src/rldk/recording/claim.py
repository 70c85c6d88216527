"""Which run is this? The name and the files that a starting training records under.

Invariant: `claim` returns files that no other live process records, and never those of another run:
a start at step 0 gets files that did not exist, a resume goes on in its own. The folder is listed once.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rldk._log import warn
from rldk.lock import RunLock, is_locked
from rldk.runs import RecordedRun
from rldk.runs.event_reader import last_event
from rldk.schema.files import RunFiles, list_runs, safe_run_id

__all__ = ["Claim", "claim"]


class Claim(NamedTuple):
    """A run that this process may record."""

    files: RunFiles
    """Where."""
    lock: RunLock
    """Held; release it when the run ends."""
    resumed: bool
    """Whether the files hold the earlier part of the run."""
    name: str
    """The name that was asked for; with a number behind it where it was taken."""


class _Folder(IntEnum):
    """Whether a run was trained in this trainer's `output_dir`; the higher, the closer."""

    OTHER = 0
    UNKNOWN = 1
    SAME = 2


class _Candidate(NamedTuple):
    """A run that a resume may go on with."""

    files: RunFiles
    parts: list[Path]
    """Its events."""


class _Identity(msgspec.Struct):
    """What `{run_id}_run.json` says of which run it is; the rest is not decoded."""

    trainer_dir: Any = None
    name: Any = None


class _SavedCheckpoint(msgspec.Struct):
    path: str


class _CheckpointLine(msgspec.Struct):
    """What a line of `{run_id}_checkpoints.jsonl` says of where the trainer saved."""

    analysis: _SavedCheckpoint


_decode_identity = msgspec.json.Decoder(_Identity).decode
_decode_checkpoint = msgspec.json.Decoder(_CheckpointLine).decode


def claim(
    folder: Path,
    run_id: str | None,
    *,
    default: str,
    trainer_dir: str,
    from_step: int,
    logging_steps: int = 1,
) -> Claim:
    """Take a run in `folder` for this process.

    Args:
        folder: where the files of runs lie; it need not exist.
        run_id: the name that the user asked for; None: `default`.
        default: the name that the trainer suggests.
        trainer_dir: absolute path of the trainer's own `output_dir`, as in `{run_id}_run.json`.
        from_step: 0 for a new training; above 0 a training that resumes from that step.
        logging_steps: how far apart the records of the training lie.

    A new run whose name is taken, by files or by a live process, gets `name-2`, and one warning. A
    resume goes on in the first of these that is there; the newest, where several runs are:

    1. the runs of the name (without a `run_id`: any) that trained in `trainer_dir` and reached `from_step`;
    2. those that trained in `trainer_dir` and did not get so far;
    3. the runs of the name that reached `from_step` and do not say where they trained, as their
       `{run_id}_run.json` is damaged or missing;
    4. with a `run_id`: the runs of the name that trained elsewhere and reached `from_step`, for a
       folder that was moved.

    Where another process records its own run (1 or 2), and where there is none, it begins a new run.
    """
    requested = default if run_id is None else run_id
    name = safe_run_id(requested)
    with suppress(OSError):  # the writer will say it
        folder.mkdir(parents=True, exist_ok=True)
    if from_step > 0:
        for files in _to_resume(folder, run_id, name, trainer_dir, from_step, logging_steps):
            if lock := RunLock.acquire(files.lock):
                return Claim(files, lock, resumed=True, name=name)
            warn("rldk: %s is being recorded by another process", folder / files.run_id)
    taken = _taken(folder, name)
    files, number = RunFiles(folder, name), 1
    while True:
        if files.run_id not in taken and (lock := RunLock.acquire(files.lock)):
            with suppress(OSError):  # a folder that cannot be looked into: the writer will say it
                if files.exist():
                    lock.release()
                    lock = None
            if lock is not None:
                break
        number += 1
        files = RunFiles(folder, f"{name}-{number}")
    if files.run_id != requested:
        why = "cannot be a file name" if name != requested else "is taken"
        shown = requested if len(requested) <= 80 else f"{requested[:77]}..."
        warn("rldk: the run_id %r %s; this run is %s", shown, why, folder / files.run_id)
    return Claim(files, lock, resumed=False, name=name)


def _taken(folder: Path, name: str) -> set[str]:
    """The run_ids that begin with `name` and have files, by one look: a sweep makes hundreds."""
    return {files.run_id for files in list_runs(folder, name)}


def _to_resume(
    folder: Path, run_id: str | None, name: str, trainer_dir: str, from_step: int, logging_steps: int
) -> Iterator[RunFiles]:
    """The runs that a resume may go on with, the best first; the best alone, if some are its own."""
    found: dict[_Folder, list[_Candidate]] = {}
    here = {trainer_dir, os.path.realpath(trainer_dir)}
    for files, listing in list_runs(folder).items():
        if not listing.parts and files.run not in listing.others:
            continue
        identity = _identity(files)
        where = _folder_of(files, identity, here)
        if run_id is None and where is not _Folder.UNKNOWN:
            fits = where is _Folder.SAME
        else:
            fits = name in _names(files, identity)
        if fits:
            found.setdefault(where, []).append(_Candidate(files, listing.parts))
    own = sorted(found.pop(_Folder.SAME, []), key=_last_written, reverse=True)
    if own:
        yield next(_reached(own, from_step, logging_steps), own[0].files)
        return
    for where in sorted(found, reverse=True):
        newest_first = sorted(found[where], key=_last_written, reverse=True)
        for files in _reached(newest_first, from_step, logging_steps):
            if not is_locked(files.lock):  # that of a live process is not the run of this training
                yield files


def _reached(candidates: list[_Candidate], from_step: int, logging_steps: int) -> Iterator[RunFiles]:
    return (one.files for one in candidates if _last_step(one) + logging_steps > from_step)


def _identity(files: RunFiles) -> _Identity:
    try:
        return _decode_identity(files.run.read_bytes())
    except (OSError, msgspec.DecodeError, RecursionError):
        return _Identity()


def _folder_of(files: RunFiles, identity: _Identity, here: set[str]) -> _Folder:
    """Whether a run was trained in the folder that has the names `here`."""
    trained_in = identity.trainer_dir
    if not isinstance(trained_in, str):
        trained_in = _checkpoints_folder(files)
    if trained_in is None:
        return _Folder.UNKNOWN
    return _Folder.SAME if trained_in in here else _Folder.OTHER


def _checkpoints_folder(files: RunFiles) -> str | None:
    """Where a run saved its first checkpoint, as the analysis of it says."""
    try:
        with files.checkpoints.open("rb") as file:
            return os.path.dirname(_decode_checkpoint(file.readline()).analysis.path)
    except (OSError, msgspec.DecodeError, RecursionError):
        return None


def _names(files: RunFiles, identity: _Identity) -> set[str]:
    """The names that a user may call a run by."""
    if isinstance(identity.name, str):
        return {identity.name, files.run_id}
    asked, _, number = files.run_id.rpartition("-")
    return {files.run_id, asked} if number.isdecimal() else {files.run_id}


def _last_written(one: _Candidate) -> float:
    """When a training last wrote to a run, in seconds since 1970; a later export does not count."""
    times = [0.0]
    for path in (*one.parts, one.files.run):
        with suppress(OSError):  # missing, or moved just now
            times.append(path.stat().st_mtime)
    return max(times)


def _last_step(one: _Candidate) -> float:
    """The last step that a run recorded; minus infinity where there is none, or it cannot be read."""
    last = None
    with suppress(OSError):
        try:
            last = last_event(one.parts)
        except FileNotFoundError:  # a part was finished or compressed meanwhile
            last = RecordedRun(one.files).last()
    return float("-inf") if last is None else last.step

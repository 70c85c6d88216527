"""Which run is this? The name and the files that a starting training records under.

Invariant: `claim` returns files that no other live process records, and never those of another run:
a start at step 0 gets files that did not exist, a resume goes on in its own.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from rldk.files import RunFiles, runs_in, safe_run_id
from rldk.lock import RunLock
from rldk.runs import Run
from rldk.speech import warn

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
    resume goes on in the newest run of the name (without one: of `trainer_dir`) that reached
    `from_step`; a run of the name that another `trainer_dir` made and that did not get so far is another
    run. Where there is none it begins a new run.
    """
    asked = default if run_id is None else run_id
    name = safe_run_id(asked)
    with suppress(OSError):  # the writer will say it
        folder.mkdir(parents=True, exist_ok=True)
    if from_step > 0:
        wanted = None if run_id is None else name
        files = _to_resume(folder, wanted, trainer_dir, from_step, logging_steps)
        if files is not None:
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
    if files.run_id != asked:
        why = "cannot be a file name" if name != asked else "is taken"
        shown = asked if len(asked) <= 80 else f"{asked[:77]}..."
        warn("rldk: the run_id %r %s; this run is %s", shown, why, folder / files.run_id)
    return Claim(files, lock, resumed=False, name=name)


def _taken(folder: Path, name: str) -> set[str]:
    """The run_ids that begin with `name` and have files, by one look: a sweep makes hundreds."""
    try:
        entries = os.listdir(folder)
    except OSError:
        return set()
    runs = (RunFiles.of(folder / entry) for entry in entries if entry.startswith(name))
    return {files.run_id for files in runs if files is not None}


def _to_resume(
    folder: Path, wanted: str | None, trainer_dir: str, from_step: int, logging_steps: int
) -> RunFiles | None:
    """The run that a resume goes on with; None where there is none."""
    found: list[tuple[bool, float, RunFiles]] = []
    for files in runs_in(folder):
        run = Run(files)
        info = run.info
        same_trainer = info.get("trainer_dir") == trainer_dir
        if wanted is None:
            if not same_trainer:
                continue
        elif info.get("name", files.run_id) != wanted:
            continue
        reached, newest = False, 0.0
        with suppress(OSError):  # unreadable, or moved just now
            last = run.last()
            reached = last is not None and last.step + logging_steps > from_step
            newest = max((path.stat().st_mtime for path in files.existing()), default=0.0)
        if same_trainer or reached:
            found.append((reached, newest, files))
    return max(found)[2] if found else None

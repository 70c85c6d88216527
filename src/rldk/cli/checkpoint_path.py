"""Which checkpoint a path names (itself, the newest of a trainer's folder or of a run), and against which.

Invariant: a path that names none is an error that says what it is and what to type; nothing is read but names
and headers.
"""

import os
import sys
from pathlib import Path

import click
import msgspec

from rldk.checkpoints.folder import contents_of, step_of
from rldk.checkpoints.weights import Weights
from rldk.doctor.good_checkpoint import last_checkpoint
from rldk.errors import AmbiguousRunError, RLDKError
from rldk.runs import RecordedRun, Run, open_run

__all__ = ["ChosenCheckpoint", "ComparedWith", "checkpoint_at"]

SUFFIX = ".safetensors"


class ChosenCheckpoint(msgspec.Struct, frozen=True):
    """A checkpoint that is there."""

    path: Path
    """Its folder, or one file of it."""
    how: str = ""
    """How it was chosen, in a sentence; empty: it is what was named."""
    run: Run | None = None
    """The run of rldk that it was asked for by."""


class ComparedWith:
    """What a checkpoint is compared with.

    Args:
        path: the checkpoint.
        other: what the user named to compare it with.
        base: the model from which the training started.
        compare: whether to look for an earlier checkpoint beside it.

    Raises:
        RLDKError: what was named holds no weights.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path, other: Path | None, base: Path | None, *, compare: bool) -> None:
        self.earlier = _earlier(path)
        """The newest earlier checkpoint beside it."""
        self.previous: Path | None = None
        """What it is compared with, tensor by tensor; None: with the base, if that is known."""
        self.base = None if base is None else checkpoint_at(base).path
        """The model from which the training started."""
        self.description = f"the base model in {base}" if base else ""
        """What it is compared with and why, in words."""
        if self.base is not None:
            _kind_of(self.base)
        if (other is None or self._is_base(path, other)) and compare and self.earlier is not None:
            self.previous = self.earlier
            folder = self.earlier if self.earlier.is_dir() else self.earlier.parent
            self.description = f"{folder.name} (the newest before it)"

    def _is_base(self, path: Path, other: Path) -> bool:
        """Take what the user named; true where it is the base of an adapter, and nothing to compare with."""
        found = checkpoint_at(other).path
        if os.path.samefile(found, path):
            raise click.UsageError(f"{other} and {path} are the same checkpoint: name another one")
        if _kind_of(found) == "model" and Weights(str(path)).contents.kind == "adapter":
            self.base = found
            return True
        self.previous, self.description = found, str(found)
        return False


def checkpoint_at(path: Path) -> ChosenCheckpoint:
    """The checkpoint that a path names.

    Raises:
        RLDKError: it names none.
        OSError: it cannot be read.
    """
    if path.suffix == SUFFIX and path.is_file():
        return ChosenCheckpoint(path)
    if path.is_dir():
        names = os.listdir(path)
        contents = contents_of(str(path), names)
        newest = last_checkpoint(path, sys.maxsize)
        if contents.kind != "none":
            hint = f" Its checkpoints: rldk checkpoint {newest}." if newest else ""
            return ChosenCheckpoint(path, f"These are the weights in {path} itself.{hint}" if newest else "")
        if newest is not None:
            return ChosenCheckpoint(Path(newest), f"{Path(newest).name} is the newest checkpoint in {path}.")
        if contents.faults or contents.notes or step_of(str(path)) is not None:
            return ChosenCheckpoint(path)
    return _of_run(path)


def _of_run(path: Path) -> ChosenCheckpoint:
    try:
        run = open_run(path)
    except AmbiguousRunError:
        raise
    except RLDKError:
        run = None
    if not isinstance(run, RecordedRun):
        there = "is no checkpoint" if path.exists() else "is not there"
        raise RLDKError(
            f"{path} {there}. Name a checkpoint's folder, a {SUFFIX} file, the trainer's "
            "output_dir, or a run of rldk"
        )
    folder = run.checkpoint_folder
    newest = last_checkpoint(folder, sys.maxsize)
    if newest is None:
        where = f"in {folder}, where its trainer saved them" if folder else "that its files name"
        raise RLDKError(f"{path}: there is no checkpoint {where}. Name a checkpoint's folder")
    return ChosenCheckpoint(Path(newest), f"{newest} is the newest checkpoint of the run {run.run_id}.", run)


def _earlier(path: Path) -> Path | None:
    """The newest `checkpoint-M` beside a checkpoint whose step is below its own, or the same file in it."""
    folder = os.path.abspath(path if path.is_dir() else path.parent)
    step = step_of(folder)
    newest = last_checkpoint(os.path.dirname(folder), step - 1) if step is not None else None
    if newest is None:
        return None
    before = Path(newest if path.is_absolute() else os.path.relpath(newest))
    if path.is_dir():
        return before
    same = before / path.name
    return same if same.is_file() else None


def _kind_of(path: Path) -> str:
    """`model` or `adapter`, of weights that are there to be compared with.

    Raises:
        RLDKError: no tensor of it can be read.
        OSError: it cannot be listed.
    """
    weights = Weights(str(path))
    weights.close()
    if not weights.locations:
        faults = [part.fault for part in weights.parts if part.fault]
        why = next(iter([*faults, *weights.contents.faults, *weights.notes]), "it holds none")
        raise RLDKError(f"{path} has no weights to compare with: {why}")
    return weights.contents.kind

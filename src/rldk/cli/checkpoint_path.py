"""Chooses the checkpoint that a path names, and the checkpoint to compare it with.

Invariant: a path without a checkpoint is an error that says what to type; this module reads only names and
headers.
"""

import os
import sys
from pathlib import Path

import click
import msgspec

from rldk.checkpoints.folder import contents_of, step_of
from rldk.checkpoints.state_dict import TORCH_SUFFIXES
from rldk.checkpoints.weights import Weights
from rldk.doctor.good_checkpoint import last_checkpoint
from rldk.errors import AmbiguousRunError, RLDKError
from rldk.runs import RecordedRun, Run, open_run

__all__ = ["ChosenCheckpoint", "ComparedWith", "checkpoint_at"]

SUFFIXES = (".safetensors", *TORCH_SUFFIXES)


class ChosenCheckpoint(msgspec.Struct, frozen=True):
    """An existing checkpoint."""

    path: Path
    """Its folder, or a single file in it."""
    how: str = ""
    """How rldk chose it, as a sentence; empty if the user named it."""
    run: Run | None = None
    """The run, if the user named a run instead of a checkpoint."""


class ComparedWith:
    """The weights to compare a checkpoint with.

    Args:
        path: the checkpoint.
        other: the checkpoint or model that the user wants to compare with.
        base: the model from which the training started.
        compare: whether to look for an earlier checkpoint in the same folder.

    Raises:
        RLDKError: `other` or `base` holds no weights.
        OSError: rldk cannot read one of the paths.
    """

    def __init__(self, path: Path, other: Path | None, base: Path | None, *, compare: bool) -> None:
        self.earlier = _earlier(path)
        """The newest earlier checkpoint in the same folder."""
        self.previous: Path | None = None
        """The weights to compare with, tensor by tensor; None: the base, if known."""
        self.base = None if base is None else checkpoint_at(base).path
        """The model from which the training started."""
        self.description = f"the base model in {base}" if base else ""
        """Names the compared weights and the reason, as text."""
        if self.base is not None:
            _kind_of(self.base)
        if (other is None or self._is_base(path, other)) and compare and self.earlier is not None:
            self.previous = self.earlier
            folder = self.earlier if self.earlier.is_dir() else self.earlier.parent
            self.description = f"{folder.name} (the newest earlier checkpoint)"

    def _is_base(self, path: Path, other: Path) -> bool:
        """Take the path of the user; true if it is the base of an adapter, so that nothing is compared."""
        found = checkpoint_at(other).path
        if os.path.samefile(found, path):
            raise click.UsageError(f"{other} and {path} are the same checkpoint: name a different OTHER")
        if _kind_of(found) == "model" and Weights(str(path)).contents.kind == "adapter":
            self.base = found
            return True
        self.previous, self.description = found, str(found)
        return False


def checkpoint_at(path: Path) -> ChosenCheckpoint:
    """The checkpoint that a path names.

    Raises:
        RLDKError: the path holds no checkpoint.
        OSError: rldk cannot read the path.
    """
    if path.suffix in SUFFIXES and path.is_file():
        return ChosenCheckpoint(path)
    if path.is_dir():
        names = os.listdir(path)
        contents = contents_of(str(path), names)
        newest = last_checkpoint(path, sys.maxsize)
        if contents.kind != "none":
            hint = f" For its newest checkpoint: rldk checkpoint {newest}." if newest else ""
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
        problem = "is no checkpoint" if path.exists() else "does not exist"
        raise RLDKError(
            f"{path} {problem}. Name a checkpoint's folder, a file of weights ({', '.join(SUFFIXES)}), "
            "the trainer's output_dir, or a run of rldk"
        )
    folder = run.checkpoint_folder
    newest = last_checkpoint(folder, sys.maxsize) or _analysed(run)
    if newest is None:
        where = f"in {folder}, where its trainer saves them" if folder else "in its files"
        raise RLDKError(f"{path}: rldk finds no checkpoint {where}. Name a checkpoint's folder")
    return ChosenCheckpoint(Path(newest), f"{newest} is the newest checkpoint of the run {run.run_id}.", run)


def _analysed(run: RecordedRun) -> str | None:
    """The last analysed checkpoint of a run that still exists, as of a loop that saves elsewhere."""
    paths = [found.path for found in run.analyses() if os.path.exists(found.path)]
    return paths[-1] if paths else None


def _earlier(path: Path) -> Path | None:
    """The newest sibling `checkpoint-M` with a lower step, or the same file in it."""
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
    """`model` or `adapter`: the kind of the weights to compare with.

    Raises:
        RLDKError: rldk can read no tensor in it.
        OSError: rldk cannot list it.
    """
    weights = Weights(str(path))
    weights.close()
    if not weights.locations:
        faults = [part.fault for part in weights.parts if part.fault]
        why = next(iter([*faults, *weights.contents.faults, *weights.notes]), "it holds none")
        raise RLDKError(f"{path} has no weights to compare with: {why}")
    return weights.contents.kind

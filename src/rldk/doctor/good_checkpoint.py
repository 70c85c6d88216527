"""Finds the last good checkpoint of a run that still exists: a folder `checkpoint-N` of the trainer, or any
path that was analysed.

Invariant: no checkpoint is opened. A checkpoint whose analysis found a fault is never called good, and one
without an analysis is marked as such. A folder that cannot be listed holds no checkpoint.
"""

import re
from collections.abc import Iterable, Mapping
from os.path import exists
from pathlib import Path
from typing import NamedTuple

import msgspec

from rldk.health import Diagnosis, Finding
from rldk.schema.checkpoint import Analysis

__all__ = [
    "CheckpointState",
    "checkpoint_states",
    "last_checkpoint",
    "last_good",
    "state_of",
    "with_checkpoints",
]

UNKNOWN = "by its step alone, because it was not analysed"

_NAME = re.compile(r"checkpoint-(\d+)")


class CheckpointState(NamedTuple):
    """The result of a checkpoint's analysis."""

    good: bool
    """Whether it is whole and finite."""
    because: str
    """The reason, in words."""
    path: str = ""
    """The folder or file that was analysed."""


def state_of(analysis: Analysis) -> CheckpointState | None:
    """The state of an analysed checkpoint; None where it was deleted before it was read, or holds no
    tensors.
    """
    if analysis.gone:
        return None
    if analysis.damaged or analysis.spoiled or analysis.config_missing:
        return CheckpointState(
            good=False, because="its weights are incomplete, or not finite", path=analysis.path
        )
    if not analysis.tensors:
        return None
    # rldk does not know what a resume needs from a layout other than the Trainer's
    unknown = analysis.progress is None and not analysis.missing
    then = "" if analysis.resumable or unknown else "; it is enough to load the model, not to resume training"
    several = analysis.tensors > 1
    read = f"its {analysis.tensors} tensors were" if several else "its only tensor was"
    because = f"{read} read after it was saved, whole and finite{then}"
    return CheckpointState(good=True, because=because, path=analysis.path)


def checkpoint_states(analyses: Iterable[Analysis]) -> dict[int, CheckpointState]:
    """The states of a run's analysed checkpoints, by step."""
    found: dict[int, CheckpointState] = {}
    for analysis in analyses:
        if analysis.step is not None and (state := state_of(analysis)):
            found[analysis.step] = state
    return found


def last_checkpoint(folder: str | Path | None, step: int | None) -> str | None:
    """Path of the newest `checkpoint-N` in `folder` with N of at most `step`; None where there is none."""
    found = _steps(folder, step)
    return None if not found else _path(folder, found[0])


def last_good(
    folder: str | Path | None, step: int | None, states: Mapping[int, CheckpointState]
) -> tuple[str, str] | None:
    """Path of the newest checkpoint up to `step` that is not known to be bad, and the reason.

    Candidates are the folders `checkpoint-N` in `folder`, and the analysed paths that still exist.

    Args:
        folder: the trainer's `output_dir`.
        step: the last good step.
        states: the states of the analysed checkpoints, by step.
    """
    if step is None:
        return None
    found = {saved: _path(folder, saved) for saved in _steps(folder, step)}
    # At equal steps the analysed path counts, because the reason is about that one.
    found |= {saved: state.path for saved, state in states.items() if saved <= step and exists(state.path)}
    for saved in sorted(found, reverse=True):
        state = states.get(saved)
        if state is None or state.good:
            return found[saved], state.because if state else UNKNOWN
    return None


def with_checkpoints(
    diagnosis: Diagnosis, folder: str | Path | None, states: Mapping[int, CheckpointState]
) -> Diagnosis:
    """The diagnosis with the last good checkpoint before each finding, where one still exists.

    Args:
        diagnosis: the diagnosis of the run.
        folder: the trainer's `output_dir`; None where it is not known.
        states: the states of the analysed checkpoints, by step.
    """
    if not folder:
        return diagnosis
    findings = [with_last_good(finding, folder, states) for finding in diagnosis.findings]
    return msgspec.structs.replace(diagnosis, findings=findings)


def with_last_good(
    finding: Finding, folder: str | Path | None, states: Mapping[int, CheckpointState]
) -> Finding:
    """A finding with the last good checkpoint before its onset."""
    if (good := last_good(folder, finding.last_good_step, states)) is None:
        return finding
    return msgspec.structs.replace(finding, last_good_checkpoint=good[0], last_good_because=good[1])


def _steps(folder: str | Path | None, step: int | None) -> list[int]:
    """The steps of the checkpoints up to `step`, the newest first."""
    if folder is None or step is None:
        return []
    try:
        names = [path.name for path in Path(folder).iterdir() if path.is_dir()]
    except OSError:
        return []
    steps = [int(found[1]) for name in names if (found := _NAME.fullmatch(name))]
    return sorted((saved_step for saved_step in steps if saved_step <= step), reverse=True)


def _path(folder: str | Path | None, step: int) -> str:
    return str(Path(folder or ".") / f"checkpoint-{step}")

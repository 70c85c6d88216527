"""Which checkpoint of a run is still there: the trainer's own folders `checkpoint-N`, by their names alone.

Invariant: nothing is opened; what cannot be listed holds no checkpoint.
"""

import re
from pathlib import Path

import msgspec

from rldk.health import Diagnosis, Finding

__all__ = ["last_checkpoint", "with_checkpoints"]

_NAME = re.compile(r"checkpoint-(\d+)")


def last_checkpoint(folder: str | Path | None, step: int | None) -> str | None:
    """Path of the newest `checkpoint-N` in `folder` with N of at most `step`; None where there is none."""
    if folder is None or step is None:
        return None
    try:
        names = [path.name for path in Path(folder).iterdir() if path.is_dir()]
    except OSError:
        return None
    steps = [int(found[1]) for name in names if (found := _NAME.fullmatch(name))]
    newest = max((saved for saved in steps if saved <= step), default=None)
    return None if newest is None else str(Path(folder) / f"checkpoint-{newest}")


def with_checkpoints(diagnosis: Diagnosis, folder: str | Path | None) -> Diagnosis:
    """The diagnosis with the last checkpoint before the onset of each finding, as far as it still exists.

    Args:
        diagnosis: what was found.
        folder: the trainer's `output_dir`; None where it is not known.
    """

    def found(finding: Finding) -> Finding:
        path = last_checkpoint(folder, finding.last_good_step)
        return msgspec.structs.replace(finding, last_good_checkpoint=path) if path else finding

    findings = [found(finding) for finding in diagnosis.findings] if folder else diagnosis.findings
    return msgspec.structs.replace(diagnosis, findings=findings)

"""The line that a training ends with: what was recorded, where it is, and the verdict.

Invariant: records that are missing are named before anything else.
"""

from pathlib import Path

from rldk.health import Diagnosis
from rldk.recording.recorder import Recorder
from rldk.schema.run_info import RunEnd

__all__ = ["closing_line", "verdict_line"]


def closing_line(recorder: Recorder, end: RunEnd, folder: Path) -> str:
    """The line at the end of a run.

    Args:
        recorder: what recorded it.
        end: how it ended.
        folder: the callback's `output_dir`, as the user gave it.
    """
    run_id = recorder.files.run_id
    if missing := end.records_in_memory + end.records_lost:
        return f"rldk: {missing} of {end.records} records of {run_id} could not be written"
    found = verdict_line(recorder.live_doctor.diagnosis())
    if not recorder.has_events:
        return f"rldk: the tables of {run_id} are in {folder}, its events are off; {found}"
    return (
        f"rldk: {end.records} records of {run_id} are in {folder}; {found}. "
        f"Look: rldk doctor {folder / run_id}"
    )


def verdict_line(diagnosis: Diagnosis) -> str:
    """The verdict on a run in a few words."""
    alarms = [finding.rule for finding in diagnosis.findings if finding.severity != "info"]
    if alarms:
        return f"{diagnosis.status}: {', '.join(alarms)}"
    if diagnosis.missing is not None:
        return "too little to judge"
    return "nothing is wrong"

"""A recorder as the callback makes one."""

from pathlib import Path
from typing import Any

from rldk.health import Settings
from rldk.recording.claim import claim
from rldk.recording.guard import Guard
from rldk.recording.live_doctor import LiveDoctor, as_recorded
from rldk.recording.recorder import Recorder
from rldk.recording.writer import JsonlWriter
from rldk.report.final_report import write_end
from rldk.runs import RecordedRun


def begin(
    folder: Path,
    *,
    from_step: int = 0,
    about: dict[str, Any] | None = None,
    jsonl: bool = True,
    write: Any = None,
    training: bool = True,
) -> Recorder:
    """Begin, or go on with, the run `run` of `folder`."""
    claimed = claim(folder, "run", default="x", trainer_dir="/out", from_step=from_step)
    guard = Guard()
    about = {"trainer_dir": "/out"} if about is None else about
    recorder = Recorder(
        claimed,
        from_step=from_step,
        writer=JsonlWriter(claimed.files) if jsonl else None,
        info=about,
        live_doctor=LiveDoctor(
            claimed.files, Settings().monitor(as_recorded(about)), guard, about.get("trainer_dir")
        ),
        write_end=write or (lambda files, *ended: write_end(files, RecordedRun(files), *ended)),
        guard=guard,
    )
    if training:
        recorder.begin_training()
    return recorder

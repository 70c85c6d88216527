"""The checkpoints of one training: each is analysed in the background after it was saved, and recorded.

Owns `{run_id}_checkpoints.jsonl`. Invariant: the training hands over a path and goes on; once another attempt
of the run has begun, nothing here changes its alerts or its report.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from rldk._log import warn
from rldk.checkpoints.background import Background
from rldk.recording.host_usage import GIB
from rldk.recording.line_file import LineFile
from rldk.recording.recorder import Recorder
from rldk.schema.checkpoint import Analysis

__all__ = ["CheckpointLog"]


class CheckpointLog:
    """Analyses what a training saves.

    Args:
        recorder: records the run.
        base: the folder of the model that the training started from; None where it is not a local one.
        on_idle: called when everything that was saved is analysed, after `finish`.
    """

    def __init__(self, recorder: Recorder, base: str | None, on_idle: Callable[[], None]) -> None:
        self.sizes: Mapping[str, float] = {}
        """What the newest analysis adds to the next Event: `resource/checkpoint_size`, in GiB."""
        self.file = LineFile(recorder.files.checkpoints, recorder.disk)
        """The recorded analyses."""
        self._recorder = recorder
        self._background = Background(self._analysed, base, on_idle)

    def saved(self, path: Path, step: int) -> None:
        """Have a checkpoint analysed that was just saved; returns at once."""
        self._background.submit(path, step)

    def finish(self) -> bool:
        """Take no more, and return at once; whether everything that was saved has been analysed."""
        return self._background.finish()

    def close(self, wait_s: float) -> None:
        """Take no more, and wait so long for what was saved; what is given up then is reported."""
        if late := self._background.close(wait_s):
            warn("rldk: %s", late)

    def _analysed(self, analysis: Analysis) -> None:
        recorder = self._recorder
        if analysis.bytes_on_disk:
            self.sizes = {"resource/checkpoint_size": analysis.bytes_on_disk / GIB}
        line = {"kind": "checkpoint", "step": analysis.step, "analysis": analysis.detail()}
        ours = not recorder.goes_on_elsewhere
        recorder.live_doctor.record(line, self.file, judging=ours)
        self.file.close()  # saves are rare
        if ours:
            recorder.outdate()

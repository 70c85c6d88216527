"""The log of one process of a training: what it measured of itself, and how long its steps took.

Owns `{run_id}_resources.rank{N}.jsonl`. Invariant: the training thread only notes times, a background thread
writes; nothing raises, and memory is bounded while the name of the run is not known.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from rldk.recording.disk import Disk
from rldk.recording.line_file import LineFile
from rldk.schema.files import RunFiles

__all__ = ["ProcessLog"]

MAX_WAITING = 10_000
"""Lines that wait for the run's name; then the oldest are given up, and counted."""


class ProcessLog:
    """Records one process.

    Args:
        rank: the process, as `args.process_index`.
        files: gives the files of the run; None while a rank has not learned their name.
        from_step: the step that the training goes on from.
        disk: the disk of the files; one of its own by default.
    """

    def __init__(
        self,
        rank: int,
        files: Callable[[], RunFiles | None],
        from_step: int = 0,
        disk: Disk | None = None,
    ) -> None:
        self.step = from_step
        """The last step that was ended."""
        self._rank = rank
        self._files = files
        self._disk = disk
        self._file: LineFile | None = None
        self._waiting: deque[dict[str, Any]] = deque(maxlen=MAX_WAITING)
        self._dropped = 0
        self._begun: tuple[float, float] | None = None

    def begin_step(self) -> None:
        """Note that a step begins."""
        self._begun = (time.monotonic(), time.process_time())

    def end_step(self, step: int, reward_seconds: float | None = None) -> None:
        """Note that a step ended.

        Args:
            step: `global_step` after it.
            reward_seconds: how long reward functions took of it, where that is known.
        """
        skipped = step - self.step > 1  # a loop that does not report every step: no time of one is known
        self.step = step
        if self._begun is None or skipped:
            return
        (seconds, cpu), self._begun = self._begun, None
        line = {
            "kind": "step_time",
            "time": time.time(),
            "step": step,
            "seconds": time.monotonic() - seconds,
            "cpu_seconds": time.process_time() - cpu,
        }
        if reward_seconds is not None:
            line["reward_seconds"] = reward_seconds
        self._keep(line)

    def sampled(self, at: float, values: Mapping[str, float]) -> None:
        """Take a sample of the resources, and write what waits; called by a thread in the background."""
        self._keep({"kind": "resource", "time": at, "step": self.step, **values})
        self.flush()

    def flush(self) -> None:
        """Write what waits, as soon as the run's name is known."""
        if (file := self.file) is None:
            return
        lines = []
        with suppress(IndexError):  # another thread may take them, too
            while True:
                lines.append(self._waiting.popleft())
        if lines:
            file.write(*lines)

    @property
    def file(self) -> LineFile | None:
        """The file; None while the run's name is not known."""
        if self._file is None and (files := self._files()) is not None:
            self._file = LineFile(files.resources(self._rank), self._disk)
        return self._file

    @property
    def lost(self) -> int:
        """Lines that the disk refused, and those that waited too long."""
        return self._dropped + (self._file.lost if self._file is not None else 0)

    def close(self) -> None:
        """Write what waits and let go of the file."""
        self.flush()
        if (file := self.file) is not None:
            file.close()

    def _keep(self, line: dict[str, Any]) -> None:
        self._dropped += len(self._waiting) == MAX_WAITING
        self._waiting.append(line)

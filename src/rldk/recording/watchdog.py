"""The watchdog: a thread that notices when no step ends any more, and writes down where everybody hangs.

Invariant: the training thread only notes the time; no thread waits for a disk that hangs; an episode is told
once; what takes its time in a healthy run (an evaluation, a save, a callback, a compilation, a suspended
machine) is no stall.
"""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from statistics import median
from typing import Any

import msgspec

from rldk.recording.crash_writer import CrashFile, all_stacks
from rldk.recording.disk import Disk, Job
from rldk.recording.stack_location import (
    Frame,
    StackLocation,
    frames_of_thread,
    inside_training,
    locate,
    locate_in_loop,
    training_frames,
)
from rldk.schema.crash_file import STALLED

__all__ = ["Patience", "StallRecord", "Watchdog"]

PACES = 50
"""Steps, the last ones, whose median is the usual time of a step."""
LATE = 2.0
"""A tick that comes so many times later than planned was slept through: the machine was suspended."""


class Patience(msgspec.Struct, frozen=True, kw_only=True):
    """How long is too long, in seconds."""

    steps: float = 10.0
    """Usual steps without one that ends."""
    least: float = 300.0
    """However short the usual step is."""
    first: float = 1800.0
    """For the first steps, whose usual time is not known yet: models load, kernels compile."""
    slow: float = 3600.0
    """In an evaluation, a save, a load, a compilation, a callback or a loop's own generation, whose beginning
    no hook tells."""
    tick: float = 5.0
    """Between two looks."""


class StallRecord(msgspec.Struct, frozen=True, kw_only=True):
    """No step has ended for a long time."""

    step: int
    """The last step that ended."""
    time: float
    """When this was noticed, in seconds since 1970."""
    stalled_seconds: float
    """Since the last sign of life."""
    usual_seconds: float | None
    """The usual time of a step; None in the first."""
    location: StackLocation
    """Where the training thread is."""

    def line(self) -> dict[str, Any]:
        """As `{run_id}_resources.rank{N}.jsonl` holds it."""
        return {
            "kind": "stall",
            "time": self.time,
            "step": self.step,
            "stalled_seconds": self.stalled_seconds,
            "usual_seconds": self.usual_seconds,
            "where": self.location.where,
            "activity": self.location.activity,
            "during": self.location.during,
        }


class Watchdog:
    """Watches the thread that made it.

    Args:
        on_stall: told of a stall, in the watchdog's thread, when the stacks are written or wait for the disk.
        dump: gives the file for the stacks of all threads; None while the run has no name.
        patience: how long is too long.
        clock: gives seconds.
        from_step: the step that the training goes on from.
        on_over: told, in the watchdog's thread, that the training ended without a word; then nothing more is
            watched.
        disk: the disk of that file; one of its own by default.
        function: the qualified name and the file of the function that trains, where no trainer does: nothing
            is reported when it is not running.
    """

    def __init__(
        self,
        on_stall: Callable[[StallRecord], None],
        dump: Callable[[], Path | None],
        patience: Patience = Patience(),  # noqa: B008 - frozen
        clock: Callable[[], float] = time.monotonic,
        from_step: int = 0,
        on_over: Callable[[], None] = lambda: None,
        disk: Disk | None = None,
        function: tuple[str, str] | None = None,
    ) -> None:
        self._function = function
        self._on_stall = on_stall
        self._dump = dump
        self._on_over = on_over
        self._disk = disk or Disk()
        self._patience = patience
        self._clock = clock
        self._watched = threading.get_ident()
        here = frames_of_thread(sys._getframe())  # noqa: SLF001 - the documented way to a frame
        self._depth = training_frames(here)  # a callback of one training may train another
        self._step = from_step
        self._began: float | None = None  # when the step that goes on began
        self._alive = clock()
        self._longest = 0.0  # silence so far that ended well: one step may generate for many
        self._paces: deque[float] = deque(maxlen=PACES)
        self._slow = -inf  # when the thread was last seen in what may take the slow patience
        self._reported: float | None = None  # the sign of life after which a stall was told
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch. Without another thread to be had, nothing is watched."""
        thread = threading.Thread(target=self._run, name="rldk-watchdog", daemon=True)
        with suppress(RuntimeError):
            thread.start()
            self._thread = thread

    def beat(self, step: int | None = None) -> None:
        """The training lives.

        Args:
            step: the step that ended just now; None where none did.
        """
        now = self._clock()
        if self._reported != self._alive:
            self._longest = max(self._longest, now - self._alive)
        self._alive = now
        if step is not None:
            if self._began is not None:
                self._paces.append(now - self._began)
            self._began = now
            self._step = step

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(self._patience.tick)

    def is_over(self) -> bool:
        """Whether the training ended without a word, by an exception in a notebook."""
        return not self._frames()

    def look(self) -> StallRecord | None:
        """What is to be told now, if anything: once an episode."""
        alive, now = self._alive, self._clock()
        silent = now - alive
        usual = median(tuple(self._paces)) if self._paces else None
        limit = self._patience.first
        if usual is not None:
            before = min(2 * self._longest, self._patience.first)
            limit = max(self._patience.steps * usual, self._patience.least, before)
        if silent <= limit / 2 or self._reported == alive:
            return None
        frames = self._frames()
        if not frames or self._alive != alive:  # over, or it goes on since
            return None
        location = locate(frames) if self._function is None else locate_in_loop(frames, self._function)
        if location is None:
            return None
        if location.during is not None:
            self._slow = now
            waited, limit = silent, max(limit, self._patience.slow)
        else:  # what comes after an evaluation is not late for the time that this took
            waited = now - max(alive, self._slow)
        if waited <= limit:
            return None
        self._reported = alive
        return StallRecord(
            step=self._step,
            time=time.time(),
            stalled_seconds=round(silent, 3),
            usual_seconds=None if usual is None else round(usual, 3),
            location=location,
        )

    def slept(self, seconds: float) -> None:
        """So long, nobody ran: it counts for nothing."""
        if self._reported == self._alive:
            self._reported += seconds
        self._alive += seconds
        self._slow += seconds
        if self._began is not None:
            self._began += seconds

    def _frames(self) -> Sequence[Frame]:
        """Where the watched thread is within its training; empty where that is over."""
        frame = sys._current_frames().get(self._watched)  # noqa: SLF001 - the documented way to a stack
        return inside_training(frames_of_thread(frame), self._depth)

    def _run(self) -> None:
        tick = self._patience.tick
        planned = self._clock() + tick
        while not self._stopped.wait(tick):
            now = self._clock()
            if now - planned > LATE * tick:
                self.slept(now - planned)
            planned = now + tick
            with suppress(Exception):  # must not end, nor print in a training
                if self.is_over():
                    self._stopped.set()
                    self._on_over()
                    return
                stall = self.look()
                if stall is not None:
                    self._report(stall)

    def _report(self, stall: StallRecord) -> None:
        stacks = all_stacks()  # now: a disk that hangs may write them much later
        path = self._dump()
        if path is not None:
            usual = "" if stall.usual_seconds is None else f", usually {stall.usual_seconds:.3g} s a step"
            head = f"{STALLED} {stall.stalled_seconds:.0f} s after step {stall.step}{usual}, {stall.location}"
            self._disk.run(Job(partial(CrashFile(path).add, [head], stacks)))
        self._on_stall(stall)

"""The ResourceSampler: what a run takes of its machine, measured beside the training.

Owns one thread a process and what joins the next Event. Invariant: nothing raises; the training waits for no
reading (one that hangs stops this thread alone); a number that was not measured is absent, never old or 0.
"""

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import msgspec

from rldk._after_fork import disown_in_child
from rldk._log import logger
from rldk.recording.gpu_usage import GPUs
from rldk.recording.host_usage import HostUsage
from rldk.recording.torch_memory import torch_memory

__all__ = ["ResourceSample", "ResourceSampler", "own_gpus"]

PREFIX = "resource/"
RATES = ("_cpu", "_utilization", "_power", "_throttled")
"""What the names of rates end with: over an Event's time they are means, where the others are levels."""

_JOIN_SECONDS = 1.0
"""How long an end waits for the thread, which may hang in a driver."""
_STALE = (5.0, 10.0)
"""A sample older than so many intervals, and than so many seconds, joins no Event."""


class ResourceSample(msgspec.Struct, frozen=True):
    """What was measured at one time."""

    time: float
    """Seconds since 1970."""
    values: dict[str, float]
    """By canonical name."""


class ResourceSource(Protocol):
    """Something that is measured."""

    missing: dict[str, str]
    """What cannot be read, and why."""

    def open(self) -> None:
        """Get ready, in the thread that reads."""

    def read(self) -> dict[str, float]:
        """The numbers there are now, by name without `resource/`."""

    def close(self) -> None:
        """Let go, in the thread that reads."""


class _Ready(msgspec.Struct, frozen=True):
    """What joins the next Event."""

    since: float
    """When it was measured, on the monotonic clock."""
    first: dict[str, float]
    """For the first Event after it: rates are means since the Event before."""
    again: dict[str, float]
    """For the later ones: rates as last measured."""


class ResourceSampler:
    """Measures the process, its machine and its GPUs, every few seconds in a thread of its own.

    Args:
        folder: where the run writes; the free space is measured there.
        interval: seconds between two samples.
        gpus: torch's numbers of the GPUs that are this rank's own; None: all that the process may use.
        on_sample: is given each sample, in the sampler's thread.
    """

    def __init__(
        self,
        folder: Path,
        *,
        interval: float = 2.0,
        gpus: Sequence[int] | None = None,
        on_sample: Callable[[ResourceSample], None] | None = None,
    ) -> None:
        self.last: ResourceSample | None = None
        """The newest sample."""
        self.sources: dict[str, str] = {}
        """What is not measured, and why."""
        self._interval = interval
        self._gpus = gpus
        self._on_sample = on_sample
        self._measured: tuple[ResourceSource, ...] = (HostUsage(folder), GPUs(gpus))
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._disowned = False
        # Two threads share the next two without a lock, for a handler of a signal may come in between.
        self._ready: _Ready | None = None
        self._taken: _Ready | None = None
        self._again: dict[str, float] = {}  # what joins the Events until the next sample
        self._sums: dict[str, tuple[float, int]] = {}
        disown_in_child(self)

    def start(self) -> None:
        """Begin to measure; a second call does nothing."""
        if self._thread is not None or self._disowned:
            return
        self._ended = threading.Event()
        thread = threading.Thread(target=self._run, args=(self._ended,), name="rldk-resources", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter is on its way out
            self._warn("thread", f"resources are not measured: {error}")
            return
        self._thread = thread

    def stop(self) -> None:
        """End the thread; wait for it for a second at most."""
        thread, self._thread = self._thread, None
        if thread is None or self._disowned:
            return
        self._ended.set()
        if thread is not threading.current_thread():
            thread.join(_JOIN_SECONDS)

    def latest(self) -> Mapping[str, float]:
        """What joins an Event that is recorded now; empty where nothing was measured lately.

        To be called in the thread that trains, where torch's allocator is read, once a sample.
        """
        ready = self._ready
        if ready is None or time.monotonic() - ready.since > max(_STALE[0] * self._interval, _STALE[1]):
            return {}
        if ready is not self._taken:
            self._taken = ready
            torch = torch_memory(self._gpus)
            self._again = ready.again | torch
            return ready.first | torch
        return self._again

    def disown(self) -> None:
        """In a forked child, which has no such thread: measure nothing from now on."""
        self._disowned = True
        self._ready = None

    def _run(self, ended: threading.Event) -> None:
        for source in self._measured:
            with suppress(Exception):
                source.open()
        while True:
            with suppress(Exception):
                self._sample()
            if ended.wait(self._interval):
                break
        for source in self._measured:
            with suppress(Exception):
                source.close()

    def _sample(self) -> None:
        now, values = time.time(), {}
        for source in self._measured:
            for name, value in source.read().items():
                values[PREFIX + name] = value
            for what, why in list(source.missing.items()):
                self._warn(what, why)
        self.last = sample = ResourceSample(now, values)
        self._publish(values)
        if self._on_sample is not None:
            self._on_sample(sample)

    def _publish(self, values: dict[str, float]) -> None:
        """Make ready what joins the next Event.

        Between the two lines that look at what was taken and that replace it an Event may take the old one;
        then the next means reach back a little further than that Event.
        """
        if self._taken is self._ready:
            self._sums = {}
        for name, value in values.items():
            if name.endswith(RATES):
                total, count = self._sums.get(name, (0.0, 0))
                self._sums[name] = (total + value, count + 1)
        means = {name: total / count for name, (total, count) in self._sums.items()}
        self._ready = _Ready(time.monotonic(), values | means, values)

    def _warn(self, what: str, why: str) -> None:
        if self.sources.get(what) != why:
            self.sources[what] = why
            with suppress(Exception):  # a log handler of the user's may fail
                logger.info("rldk: %s", why)


def own_gpus(world_size: int) -> list[int] | None:
    """The GPU of this process, where there are several; None: all that it may use."""
    local, visible = os.environ.get("LOCAL_RANK", ""), os.environ.get("CUDA_VISIBLE_DEVICES")
    if world_size == 1 or not local.isdecimal():
        return None
    if visible is not None and len(visible.split(",")) <= int(local):
        return None  # the launcher lets each rank see its own alone
    return [int(local)]

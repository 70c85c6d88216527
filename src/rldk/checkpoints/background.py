"""Analyses checkpoints during a training, with a queue and a thread that waits for the results.

Invariant: `submit` returns at once and never raises; an analysis that fails, or is too slow for the saves,
costs only itself.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable

from rldk._after_fork import disown_in_child
from rldk._log import warn
from rldk.checkpoints.worker import Worker
from rldk.schema.checkpoint import Analysis

__all__ = ["Background"]

MAX_WAITING = 2
"""Checkpoints that may wait for their analysis; if there are more, it skips the oldest."""


class Background:
    """Analyses the checkpoints of one run, in the order in which they were saved.

    Args:
        done: called with each analysis, in the thread of this object; its exceptions are ignored.
        base: folder of the model from which the training started, if it is local.
        over: called in that thread when it ends, after all analyses.
    """

    def __init__(
        self,
        done: Callable[[Analysis], None],
        base: str | None = None,
        over: Callable[[], None] = lambda: None,
    ) -> None:
        self.skipped: list[int] = []
        """Steps of skipped checkpoints: newer ones came before their turn."""
        self._done = done
        self._over = over
        self._worker = Worker(base)
        self._reported = 0
        self._waiting: deque[tuple[str, int]] = deque()
        self._busy: str | None = None  # the checkpoint that is being analysed
        self._closed = False
        self._abandoned = False
        self._condition = threading.Condition()
        self._thread: threading.Thread | None = None
        disown_in_child(self)

    def submit(self, path: str | os.PathLike[str], step: int) -> None:
        """Queue a checkpoint that was just saved."""
        with self._condition:
            if self._closed:
                return
            self._waiting.append((os.path.abspath(os.fspath(path)), step))
            while len(self._waiting) > MAX_WAITING:
                self.skipped.append(self._waiting.popleft()[1])
            if self._thread is None:
                self._start()
            self._condition.notify_all()

    def finish(self) -> bool:
        """Accept no more, and return at once: whether all submitted checkpoints are analysed."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            return not self._waiting and self._busy is None

    def close(self, timeout: float) -> str | None:
        """Wait at most `timeout` seconds for the submitted checkpoints, and end; no call of `done` follows.

        Returns:
            None, or a text that names the checkpoints without an analysis.
        """
        until = time.monotonic() + timeout
        with self._condition:
            self._closed = True
            self._condition.notify_all()
            while self._thread is not None and (self._waiting or self._busy):
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._condition.wait(left)
            late = [path for path in (self._busy, *(path for path, _ in self._waiting)) if path]
            self._waiting.clear()
            if self._busy:
                self._abandoned = True
                self._worker.kill()
        if not late:
            return None
        names = ", ".join(map(os.path.basename, late))
        return f"the analysis of {names} was given up after {timeout:g} s; run: rldk checkpoint {late[-1]}"

    def disown(self) -> None:
        """In a forked child, drop the thread, which is the parent's."""
        self._closed, self._thread, self._condition = True, None, threading.Condition()
        self._waiting.clear()
        self._busy = None
        self._worker.disown()

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="rldk-checkpoints", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:  # no more threads, or the interpreter ends
            self._thread, self._closed = None, True
            self._waiting.clear()
            warn("rldk: checkpoints are not analysed (%s)", error)

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            path, step = taken
            try:
                found = self._analysis(path, step)
                if not self._abandoned:
                    self._done(found)
            except Exception as error:
                if not self._abandoned:
                    warn("rldk: %s could not be analysed (%s: %s)", path, type(error).__name__, error)
            finally:
                with self._condition:
                    self._busy = None
                    self._condition.notify_all()
        self._worker.end()
        self._over()

    def _take(self) -> tuple[str, int] | None:
        """Wait for the next checkpoint; None when this is closed."""
        with self._condition:
            while not self._waiting and not self._closed:
                self._condition.wait()
            if not self._waiting:
                return None
            path, step = self._waiting.popleft()
            self._busy = path
            return path, step

    def _analysis(self, path: str, step: int) -> Analysis:
        found = self._worker.analyse(path, step)
        with self._condition:
            skipped, self._reported = self.skipped[self._reported :], len(self.skipped)
        if skipped:
            steps = ", ".join(map(str, skipped[-10:]))
            found.notes.append(f"saves came faster than analyses: not analysed were the steps {steps}")
        return found

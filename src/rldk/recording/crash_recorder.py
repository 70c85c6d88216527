"""What a process of a training leaves behind when it does not end well.

Owns the crash file and the hooks of one rank. Invariant: how the process ends is noted once, by what came
first, and written before anything that takes longer.
"""

import signal
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

from rldk.recording.crash_writer import CrashFile, now, one_line, traceback_text
from rldk.recording.disk import BEGIN_SECONDS, END_SECONDS, EXIT_SECONDS, Disk, Job
from rldk.recording.exit_hooks import DYING_SECONDS, ExitHooks
from rldk.recording.stack_location import (
    StackLocation,
    error_of_training,
    frames_of_error,
    frames_of_thread,
    is_training,
    locate,
)
from rldk.schema.run_info import How, RunEnd

__all__ = ["CrashRecorder", "Section"]

Section: TypeAlias = tuple[str, Sequence[str]]
"""A part of the crash file: its title and its lines; one without lines is left out."""

DETAIL_CHARS = 1_000
"""How much of an exception's text is kept: an allocator's numbers come late in it."""


class CrashRecorder:
    """Writes the crash file of one rank.

    Args:
        path: `RunFiles.crash(rank)`.
        from_step: the step that the training goes on from.
        step: gives the last step that is known.
        account: called first, in the disk's thread; notes the end elsewhere, and gives what to tell of
            the run.
        finish: called when a signal ends the process, for all that takes longer; in a thread of its own,
            while the main thread may hold any lock.
        on_notice: told, by name, of a signal that somebody else handles: the training may go on.
        disk: the disk of the file; one of its own by default.
    """

    def __init__(
        self,
        path: Path,
        from_step: int = 0,
        *,
        step: Callable[[], int],
        account: Callable[[RunEnd], Sequence[Section]] = lambda _: (),
        finish: Callable[[RunEnd], None] = lambda _: None,
        on_notice: Callable[[str], None] = lambda _: None,
        disk: Disk | None = None,
    ) -> None:
        self.ended: RunEnd | None = None
        """How the process ends, once that is known: by an exception, by Ctrl-C or by a signal."""
        self.path = path
        """The crash file."""
        self._over = False
        self._noting = threading.Lock()
        self._thread = threading.get_ident()
        self._errors_before: set[int] = set()
        self._in_trainer = is_training(sys._getframe())  # noqa: SLF001 - the documented way to a frame
        self._step = step
        self._account = account
        self._finish = finish
        self._on_notice = on_notice
        self._file = CrashFile(path, from_step)
        self._disk = disk = disk or Disk()
        self._exits = ExitHooks(
            on_error=self._uncaught,
            on_signal=self._terminated,
            on_notice=self._noticed,
            error_wait_s=lambda: DYING_SECONDS if disk.is_well else END_SECONDS,
        )

    def begin(self) -> None:
        """Be ready from now on. Of signals, in the main thread only."""
        self._errors_before = {id(error) for error in self._errors()}
        self._disk.run(Job(self._file.open), BEGIN_SECONDS)
        self._exits.install()
        self._disk.at_process_end(self._leave)

    def end(self) -> None:
        """The training has ended: what comes is not its end any more."""
        self._disk.not_at_process_end(self._leave)
        self._exits.uninstall()
        self.close_file()

    def close_file(self) -> None:
        """How the run ended is known: no later error or signal is its end. An empty file is removed."""
        self._over = True
        self._disk.run(Job(self._file.close))

    def undisturbed(self) -> AbstractContextManager[None]:
        """A context in which a first signal waits until what is written is written."""
        return self._exits.undisturbed()

    def _uncaught(self, error: BaseException) -> None:
        if not self._goes_on_after_errors:
            self.note(error)

    @property
    def _goes_on_after_errors(self) -> bool:
        """Whether an exception that Python prints is no end: a notebook or a shell of Python goes on.

        A training within a trainer is over all the same when one comes out of it.
        """
        return not self._in_trainer and hasattr(sys, "ps1")

    def note(self, error: BaseException, wait_s: float = END_SECONDS) -> None:
        """Note an exception that nobody caught. What was noted before stands.

        Of a training that was begun within a trainer, only what came out of a trainer is the end.

        Args:
            error: the exception.
            wait_s: the longest wait for a disk that hangs. It writes the note later then.
        """
        if self._noting.acquire(timeout=wait_s):  # the end of the process waits for what is being noted
            try:
                self._note_error(error, wait_s)
            finally:
                self._noting.release()

    def _note_error(self, error: BaseException, wait_s: float) -> None:
        if self.ended is not None or self._over or self._file.is_disowned:
            return
        if self._in_trainer:
            if (inner := error_of_training(error)) is None:
                return
            error = inner
        how: How = "interrupted" if isinstance(error, KeyboardInterrupt) else "exception"
        name = type(error).__name__
        try:
            detail = f"{name}: {error}" if str(error) else name
        except Exception:
            detail = name
        location = locate(frames_of_error(error.__traceback__))
        with self._exits.undisturbed():
            self._note(how, one_line(detail)[:DETAIL_CHARS], location, error, wait_s=wait_s)

    def note_caught(self, wait_s: float = EXIT_SECONDS) -> None:
        """Note the exception that ended the training and was caught, where it can still be found.

        Args:
            wait_s: as of `note`, and no longer than it does: who leaves waits for what the disk has to do.
        """
        for error in self._errors():
            if id(error) not in self._errors_before:
                with suppress(Exception):
                    self.note(error, min(wait_s, END_SECONDS))

    def _errors(self) -> list[BaseException]:
        """The exception that a notebook printed last, and the one that the training's thread is handling."""
        handled: Any = sys._current_exceptions().get(self._thread)  # noqa: SLF001 - the documented way
        if isinstance(handled, tuple):  # before Python 3.12
            handled = handled[1]
        printed = None if self._goes_on_after_errors else getattr(sys, "last_value", None)
        return [error for error in (printed, handled) if error is not None]

    def _leave(self) -> None:
        self.note_caught()
        self.end()

    def _noticed(self, signum: int) -> None:
        self._on_notice(signal.Signals(signum).name)

    def _terminated(self, signum: int) -> None:
        if self.ended is None and not self._over:
            main = sys._current_frames().get(threading.main_thread().ident or 0)  # noqa: SLF001
            self._note("terminated", signal.Signals(signum).name, locate(frames_of_thread(main)))
        if self.ended is not None:
            self._finish(self.ended)

    def _note(
        self,
        how: How,
        detail: str,
        location: StackLocation,
        error: BaseException | None = None,
        *,
        wait_s: float = EXIT_SECONDS,
    ) -> None:
        self.ended = end = RunEnd(
            how=how,
            detail=detail,
            where=location.where,
            activity=location.activity,
            during=location.during,
            step=self._step(),
            time=now(),
        )
        sections: list[Section] = [
            ("The exception", traceback_text(error) if error is not None else []),
            ("Exceptions that Python ignored before", list(self._exits.ignored)),
        ]
        write = Job(partial(self._write, end, sections))
        self._disk.run(write, wait_s, insists=True, while_it_works=True)

    def _write(self, end: RunEnd, sections: list[Section]) -> None:
        try:
            sections += self._account(end)
        finally:
            self._file.add_end(end, sections)

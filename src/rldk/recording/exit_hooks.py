"""How a process may be made to end, and being told of it just before.

Owns the hooks of the interpreter and the signal handlers of one training. Invariant: whatever was there
before is called as ever, and the process ends as it would have ended without them: with the same output, the
same status, and no later than some seconds after a signal, even while it hangs in a collective. A signal that
another process got, a forked child, ends nothing here.
"""

import _thread
import ctypes
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import FrameType, TracebackType
from typing import Any

from rldk._after_fork import disown_in_child, keep_in_child
from rldk.recording.main_thread import in_main_thread
from rldk.recording.signal_listener import SignalListener

__all__ = ["DYING_SECONDS", "ExitHooks", "within"]

SIGNALS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a process from outside: a time limit, a scheduler, a launcher, a closed terminal."""
DYING_SECONDS = 20.0
"""The longest that a process that was told to end writes on; launchers kill after 30."""
GRACE_SECONDS = 2.0
"""How long a main thread may take to come back to Python and end the process, before that is done for it."""
SAME_SECONDS = 5.0
"""A signal that follows the first so soon is the same: a scheduler and a launcher may each send one."""
POLL_SECONDS = 0.05
"""How often a thread looks whether it is to wait on."""
MOST_IGNORED = 5
"""Exceptions that Python ignored (in a `__del__`, say) that are remembered, the newest."""


class ExitHooks:
    """Tells of the end of this process.

    Args:
        on_error: told of an exception that nobody caught, before Python prints it; in a thread of its own.
        on_signal: told of a signal that is about to end the process, in a thread of its own.
        on_notice: told of a signal that somebody else handles, who may let the training go on.
        error_wait_s: gives how long Python waits for `on_error` before it prints the exception; called
            again and again meanwhile.
    """

    def __init__(
        self,
        *,
        on_error: Callable[[BaseException], None],
        on_signal: Callable[[int], None],
        on_notice: Callable[[int], None],
        error_wait_s: Callable[[], float] = lambda: DYING_SECONDS,
    ) -> None:
        self.ignored: deque[str] = deque(maxlen=MOST_IGNORED)
        """Exceptions that Python ignored, as text."""
        self._on_error = on_error
        self._on_signal = on_signal
        self._on_notice = on_notice
        self._error_wait_s = error_wait_s
        self._installed = False
        self._pid = os.getpid()
        self._before: dict[int, Any] = {}
        self._listener: SignalListener | None = None
        self._reported_at: float | None = None  # when the main thread came to the first signal
        self._woken_at: float | None = None  # when the first signal came
        self._dying = threading.Lock()
        self._done = threading.Event()
        self._blocks: set[object] = set()  # of `undisturbed`, of any thread
        self._pending: int | None = None

    def install(self) -> None:
        """Be told from now on. Outside the main thread, signals are left alone."""
        self._installed = True
        self._excepthook, sys.excepthook = sys.excepthook, self._handle_error
        self._unraisablehook, sys.unraisablehook = sys.unraisablehook, self._handle_ignored
        disown_in_child(self)
        if threading.current_thread() is not threading.main_thread():
            return
        for signum in SIGNALS:
            before = _still_there(signal.getsignal(signum), signum)
            if before is None or before == signal.SIG_IGN:  # None: a handler that Python does not know
                continue
            if before == signal.SIG_DFL and self._pid == 1:
                continue  # the kernel keeps it from the first process of a container
            self._before[signum] = before
        if signal.SIG_DFL in self._before.values():
            self._listener = SignalListener(self._on_wakeup)
            if not self._listener.start():  # a handler of Python alone would make a process that hangs deaf
                self._listener, self._before = None, {}
        disown_in_child(self, [one for one, before in self._before.items() if _is_deadly(before, one)])
        for signum in self._before:
            signal.signal(signum, self._handle)

    def uninstall(self) -> None:
        """Leave everything as it was, where nobody else has taken our place; else pass on what comes.

        In another thread than the main one, signals are left as they were when the main thread is next in
        Python: no other can do it.
        """
        if not self._installed:
            return
        self._installed = False
        if sys.excepthook == self._handle_error:
            sys.excepthook = self._excepthook
        if sys.unraisablehook == self._handle_ignored:
            sys.unraisablehook = self._unraisablehook
        self._on_error = self._on_signal = self._on_notice = _ignore  # they hold a trainer with its model
        in_main_thread(self._leave_signals)

    def disown(self) -> None:
        """In a forked child: signals find what they would have found without us, and nobody is told."""
        self._installed = False
        self._restore_signals()
        if self._listener is not None:
            self._listener.disown()

    @contextmanager
    def undisturbed(self) -> Iterator[None]:
        """A first signal waits until all such blocks are done, for `DYING_SECONDS` at most.

        One that comes again later does not wait.
        """
        block = object()
        self._blocks.add(block)
        try:
            yield
        finally:
            self._blocks.discard(block)
            if self._pending is not None and not self._blocks:
                self._end_by(self._pending)

    # Exceptions.

    def _handle_error(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        here = threading.current_thread() is threading.main_thread()
        if self._installed and here and not self._dying.locked():
            began, over = time.monotonic(), threading.Event()
            within(0, partial(self._on_error, error), over)
            # A disk that hangs must not hide the error.
            while not over.wait(POLL_SECONDS) and time.monotonic() - began < self._error_wait_s():
                pass
        self._excepthook(kind, error, trace)

    def _handle_ignored(self, ignored: Any) -> None:
        if self._installed:
            with suppress(Exception):  # as text: the object must not live on for us
                self.ignored.append(f"{ignored.exc_type.__name__}: {ignored.exc_value}"[:500])
        self._unraisablehook(ignored)

    # Signals.

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        """The handler: in the main thread, wherever that is, also within our own code."""
        before = self._before.get(signum, signal.SIG_DFL)
        first = self in _first_in_chain(signum)
        if not self._installed or os.getpid() != self._pid:
            if callable(before):
                before(signum, frame)
            elif first:
                self._die(signum)
            return
        if not first or not _is_deadly(before, signum):  # somebody else decides
            with suppress(Exception):
                self._on_notice(signum)
            if callable(before):
                before(signum, frame)
            return
        now = time.monotonic()
        if _is_late(now, self._reported_at):
            self._die(signum)
        elif self._reported_at is None:
            self._reported_at = now
            if self._blocks:
                self._pending = signum
            else:
                self._end_by(signum)

    def _end_by(self, signum: int) -> None:
        self._record_end(signum)
        self._done.wait(DYING_SECONDS)
        before = self._before.get(signum)
        if callable(before):  # another of our kind
            before(signum, None)
        self._die(signum)

    def _record_end(self, signum: int) -> None:
        """Once, and by a thread: it may wait for a lock that the interrupted main thread holds."""
        if self._dying.acquire(blocking=False):
            within(0, partial(self._on_signal, signum), self._done)

    def _die(self, signum: int) -> None:
        """End as the signal would have ended the process: its parent sees that."""
        try:
            signal.signal(signum, signal.SIG_DFL)
        except ValueError:  # not in the main thread
            _die_without_python(signum)
        os.kill(os.getpid(), signum)

    def _on_wakeup(self, signum: int) -> None:
        """A signal came, and the main thread may be in C and deaf: by the listener."""
        if not self._ends_by(signum):
            return
        now = time.monotonic()
        again = _is_late(now, self._woken_at)
        if again or self._woken_at is None:
            self._woken_at = self._woken_at or now
            within(0, partial(self._handle_late, signum, again=again))

    def _ends_by(self, signum: int) -> bool:
        """Whether the signal reaches us, and ends the process."""
        return self in _first_in_chain(signum) and _is_deadly(self._before.get(signum), signum)

    def _handle_late(self, signum: int, *, again: bool) -> None:
        """A signal came: if the main thread does not come to it, end the process here."""
        until = time.monotonic() + DYING_SECONDS
        time.sleep(GRACE_SECONDS)
        if not again and self._installed:
            self._record_end(signum)
            self._done.wait(max(until - time.monotonic(), 0))
            while self._blocks and time.monotonic() < until:
                time.sleep(POLL_SECONDS)
            time.sleep(GRACE_SECONDS)
        if self._pending is not None or self._ends_by(signum):  # a pending one was kept from the process
            _die_without_python(signum)

    def _leave_signals(self) -> None:
        self._restore_signals()
        keep_in_child(self)
        if self._listener is not None:
            self._listener.stop()

    def _restore_signals(self) -> None:
        for signum, before in self._before.items():
            with suppress(ValueError):  # not in the main thread: `_handle` passes on what comes
                if signal.getsignal(signum) == self._handle:
                    signal.signal(signum, _still_there(before, signum))


def within(seconds: float, call: Callable[[], None], done: threading.Event | None = None) -> bool:
    """Call in a thread and wait so long at most; whether it is over. What it raises is lost.

    For what may wait for ever: for a lock that a thread holds which will not go on, or for a driver. `done`
    is set when it is over.
    """
    over = done or threading.Event()

    def run() -> None:
        with suppress(Exception):
            call()
        over.set()

    try:  # of `threading`, a thread needs a lock to start, which an interrupted main thread may hold
        _thread.start_new_thread(run, ())
    except RuntimeError:  # no more threads
        over.set()
        return False
    return over.wait(seconds) if seconds else False


def _is_late(now: float, first: float | None) -> bool:
    """Whether a signal comes so long after a first one that it asks for more."""
    return first is not None and now - first > SAME_SECONDS


def _die_without_python(signum: int) -> None:
    """Take the handler away and deliver the signal: `signal.signal` works in the main thread alone."""
    with suppress(Exception):
        libc = ctypes.CDLL(None)
        libc.signal.argtypes, libc.signal.restype = (ctypes.c_int, ctypes.c_void_p), ctypes.c_void_p
        libc.signal(signum, None)
        os.kill(os.getpid(), signum)


def _ignore(_: object) -> None:
    """In place of what was told."""


def _of_our_kind(handler: Any) -> ExitHooks | None:
    owner = getattr(handler, "__self__", None)
    return owner if isinstance(owner, ExitHooks) else None


def _first_in_chain(signum: int) -> list[ExitHooks]:
    """Those of our kind that a signal comes to before anybody else, the last installed first."""
    found: list[ExitHooks] = []
    handler = signal.getsignal(signum)
    while (ours := _of_our_kind(handler)) is not None:
        found.append(ours)
        handler = ours._before.get(signum)  # noqa: SLF001 - of this module
    return found


def _still_there(handler: Any, signum: int) -> Any:
    """A handler; of one of our kind that has ended, what was there before it."""
    while (ours := _of_our_kind(handler)) is not None and not ours._installed:  # noqa: SLF001
        handler = ours._before.get(signum, signal.SIG_DFL)  # noqa: SLF001
    return handler


def _is_deadly(handler: Any, signum: int) -> bool:
    """Whether the process dies of the signal: by default, or as another of our kind has it die."""
    while (ours := _of_our_kind(handler)) is not None:
        handler = ours._before.get(signum)  # noqa: SLF001
    return bool(handler == signal.SIG_DFL)

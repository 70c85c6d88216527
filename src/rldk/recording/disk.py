"""The log disk of one process: a thread that does what touches it, and whether it answers.

Invariant: jobs run one at a time, in the order in which they came. Nobody waits longer for a job than it has
patience, nobody at all while the disk is late, and the end of the process `EXIT_SECONDS` in all. A forked
child runs none.
"""

import os
import threading
import time
from _thread import allocate_lock
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from rldk._after_fork import disown_in_child
from rldk._log import warn
from rldk.recording.process_end import at_process_end, not_at_process_end

__all__ = ["BEGIN_SECONDS", "END_SECONDS", "EXIT_SECONDS", "Disk", "Job"]

WAIT_SECONDS = 0.2
"""How long a hook waits for the disk to take what it wrote; then that waits in memory."""
BEGIN_SECONDS = 0.3
"""How long the beginning of a training waits for a disk that does nothing."""
END_SECONDS = 1.0
"""The same for the end of a training."""
EXIT_SECONDS = 10.0
"""The same for the end of the process, and for a signal that ends it: in all, whatever they wait for."""
IDLE_SECONDS = 5.0
"""A thread that has had nothing to do for so long ends; the next job starts another."""
RETRY_SECONDS = 1.0
"""How long a disk that refused something is left alone."""
SLOW_SECONDS = 0.05
"""A disk that takes longer on average is treated as one that is late."""
LONGEST_PAUSE_SECONDS = 60.0
"""A disk that is late again and again is not waited for during pauses that double up to this."""
QUICK_SECONDS = 0.001
"""Jobs that follow each other so fast are those of a loop without work between its records."""
QUICK_JOBS = 4
"""So many of them in a row, after a first one, make a loop: no step of a training writes as many files."""
CHECK_SECONDS = 0.1
"""After so long, also a loop has the thread look at its file again."""
QUIET_SECONDS = 60.0
"""At most one report in so long that the disk is ill, and that it is well."""
WORKING = 0.02
"""A thread that uses this share of a processor computes; one that the disk holds does not."""
_POLL_SECONDS = 0.1


class Job:
    """Something to do on the disk, whenever there is reason to.

    Args:
        call: does it; False asks for another try in a second.
    """

    __slots__ = ("call", "is_queued")

    def __init__(self, call: Callable[[], bool | None]) -> None:
        self.call = call
        self.is_queued = False


class _Turn:
    """One place of a job in the queue."""

    __slots__ = ("error", "is_awaited", "is_timed", "job", "over")

    def __init__(self, job: Job, *, is_awaited: bool, is_timed: bool = True) -> None:
        self.job = job
        self.is_awaited = is_awaited
        self.is_timed = is_timed  # not a job that computes: its time says nothing of the disk
        self.error: BaseException | None = None
        self.over = allocate_lock()
        self.over.acquire()


class _Patience:
    """How long a disk that does nothing is waited for."""

    __slots__ = ("left_s", "whole_s")

    def __init__(self, whole_s: float) -> None:
        self.whole_s = self.left_s = whole_s

    def renew(self) -> None:
        """The disk did something."""
        self.left_s = self.whole_s


class Disk:
    """Runs jobs in a thread of its own. No method holds a lock that a job needs.

    Args:
        on_error: takes what a job raised that nobody waited for.
    """

    def __init__(self, on_error: Callable[[str, Exception], None] = lambda _where, _error: None) -> None:
        self._waits: list[
            tuple[float, float]
        ] = []  # when it answered again and after how long; the longest first
        self.on_error = on_error
        """Takes what a job raised that nobody waited for."""
        self._turns: SimpleQueue[_Turn | None] = SimpleQueue()
        self._again: list[Job] = []
        self._again_at = 0.0
        self._thread: threading.Thread | None = None
        self._runs_in: int | None = None  # the thread that runs a job now
        self._cpu_clock: int | None = None
        self._thread_id: int | None = None
        self._starting = threading.Lock()
        self._at_end: set[Callable[[], None]] = set()  # what will need the thread at the end of the process
        self._exit = _Patience(EXIT_SECONDS)
        self._disowned = False
        self._late_since: float | None = None
        self._trusted_at = 0.0
        self._pause_s = 1.0
        self._usual_s = 0.0
        self._soon = 0.0  # a job before this follows the last one quickly
        self._check_at = 0.0  # the thread is to run a job by then
        self._streak = 0  # jobs that followed each other quickly
        self._late_report = _Report()
        self._refused: dict[Path, int | None] = {}
        self._reports: dict[int | None, _Report] = {}  # by the reason
        disown_in_child(self)

    @classmethod
    def of(cls, folder: Path, on_error: Callable[[str, Exception], None]) -> "Disk":
        """The disk of a folder, one for all that this process writes there.

        So a run that begins while the disk still holds up the end of another takes its turn after it.

        Args:
            folder: absolute. Symbolic links are not followed, as a disk that hangs would hold that up.
            on_error: as of a new Disk; the newest counts.
        """
        disk = _disks.setdefault((os.getpid(), os.path.normpath(folder)), cls())
        disk.on_error = on_error
        return disk

    @property
    def is_well(self) -> bool:
        """Whether the disk answers, and has done so for a while: then it is worth waiting for."""
        return self._late_since is None and time.monotonic() >= self._trusted_at

    def longest_wait_s(self, since: float) -> float:
        """The longest time without an answer that was not over at the moment `since`, by `time.monotonic`."""
        late_since = self._late_since
        longest = next((waited for answered, waited in self._waits if answered >= since), 0.0)
        return max(longest, 0.0 if late_since is None else time.monotonic() - late_since)

    def is_quick(self) -> bool:
        """Whether the disk answered less than a millisecond ago, as it does all the time in a loop that does
        nothing but record: then another thread is a price without a gain.
        """
        now = time.monotonic()
        if now < self._soon and now < self._check_at and self._runs_in is None and self._streak >= QUICK_JOBS:
            self._soon = now + QUICK_SECONDS
            return True
        return False

    def run(
        self, job: Job, wait_s: float = WAIT_SECONDS, *, insists: bool = False, while_it_works: bool = False
    ) -> bool:
        """Put a job into the queue and wait for it.

        Args:
            job: one that waits in the queue already is not put there again, unless the caller waits for it.
            wait_s: how long at most; 0: not at all. More than `END_SECONDS` are those of the end of the
                process: what it waited before, for a disk that did nothing since, counts.
            insists: wait also for a disk that is late.
            while_it_works: count the time in which the thread does nothing, and not what it computes, nor
                what it waits for a processor.

        Returns:
            whether the job is done.

        Raises:
            BaseException: what the job raised while the caller waited.
        """
        if self._disowned:
            return False
        if threading.get_ident() == self._runs_in:  # a job asks for another: its turn is now
            self._call(job)
            return True
        patience = _Patience(wait_s) if wait_s <= END_SECONDS else self._exit
        waits = patience.left_s > 0 and (insists or self.is_well)
        if job.is_queued and not waits:
            return False
        now, worked = time.monotonic(), self._worked() if waits else None
        self._streak = self._streak + 1 if now < self._soon else 0
        turn = _Turn(job, is_awaited=waits, is_timed=not while_it_works)
        job.is_queued = True
        self._turns.put(turn)
        self._start()
        if not waits:
            return False
        if not (
            self._wait_while_working(turn, patience) if while_it_works else turn.over.acquire(timeout=wait_s)
        ):
            turn.is_awaited = False
            if while_it_works or not _is_work(worked, self._worked(), wait_s):
                self._note_late(now)
            return False
        self._soon = time.monotonic() + QUICK_SECONDS  # a busy machine may have been slow to say so
        if turn.error is not None:
            raise turn.error
        return True

    def settle(self, wait_s: float) -> bool:
        """Wait for all that is in the queue."""
        return self.run(Job(lambda: None), wait_s, insists=True, while_it_works=True)

    def refuse(self, path: Path, error: OSError) -> None:
        """Report that the disk refused a file: the first of them, for all that it refuses for this reason."""
        if error.errno not in self._refused.values():
            self._reports.setdefault(error.errno, _Report()).begin(
                "rldk: cannot write %s (%s); training goes on, what cannot be written waits in memory",
                path,
                error.strerror or error,
            )
        self._refused[path] = error.errno

    def accept(self, path: Path) -> None:
        """Report that the disk takes again what it refused: the last of it, for all."""
        if path not in self._refused:
            return
        reason = self._refused.pop(path)
        if reason not in self._refused.values():
            self._reports[reason].end("rldk: %s is written again", path)

    def forget(self, path: Path) -> None:
        """Report no more of a file that is not tried again."""
        self._refused.pop(path, None)

    def at_process_end(self, call: Callable[[], None]) -> None:
        """Have `call` called when this process ends, and the thread there until then.

        From Python 3.12 on, none can be started any more at the end of the process.
        """
        at_process_end(call)
        if not self._disowned:
            self._at_end.add(call)
            if threading.get_ident() != self._runs_in:
                self._start()

    def not_at_process_end(self, call: Callable[[], None]) -> None:
        """Do not call `call` when this process ends."""
        self._at_end.discard(call)
        not_at_process_end(call)

    def close(self) -> None:
        """Let the thread end when its work is done, unless the end of the process needs it; another job
        starts one again.
        """
        thread = self._thread
        if thread is None or self._disowned or self._at_end:
            return
        self._turns.put(None)
        if self.is_well and thread is not threading.current_thread():
            thread.join(WAIT_SECONDS)

    def disown(self) -> None:
        """In a forked child: the thread is not there, and nothing is written."""
        self._disowned = True
        self._turns, self._again, self._thread = SimpleQueue(), [], None
        self._at_end = set()

    # The waiting side.

    def _start(self) -> None:
        """Have a thread; where there is none to be had, do the work here."""
        if self._thread is not None and self._thread.is_alive():
            return
        if not self._starting.acquire(timeout=WAIT_SECONDS):  # a signal interrupted who starts it
            return
        try:
            if self._thread is not None and self._thread.is_alive():
                return
            self._thread = threading.Thread(target=self._work, name="rldk-disk", daemon=True)
            try:
                self._thread.start()
            except RuntimeError:  # no more threads, or the interpreter ends
                self._thread = None
                while not self._turns.empty():
                    if (turn := self._turns.get()) is not None:
                        self._take(turn)
        finally:
            self._starting.release()

    def _wait_while_working(self, turn: _Turn, patience: _Patience) -> bool:
        """Wait until the thread did nothing for so long: one that the disk holds wants no processor."""
        part, worked = min(_POLL_SECONDS, patience.whole_s), self._worked_or_queued()
        while patience.left_s > 0:
            if turn.over.acquire(timeout=part):
                return True
            patience.left_s -= part
            before, worked = worked, self._worked_or_queued()
            if _is_work(before, worked, part):
                patience.renew()
        return False

    def _worked_or_queued(self) -> float | None:
        """Seconds that the thread computed or waited for a processor: a busy machine is no ill disk."""
        try:
            with open(f"/proc/self/task/{self._thread_id}/schedstat", "rb") as file:
                worked, queued, _ = map(int, file.read().split())
        except (OSError, ValueError):  # a system that does not tell, or the thread has ended
            return self._worked()
        return (worked + queued) / 1e9

    def _worked(self) -> float | None:
        """Seconds of processor time of the thread; None where the system does not tell."""
        clock = self._cpu_clock
        try:
            return None if clock is None else time.clock_gettime(clock)
        except OSError:  # the thread has ended
            return None

    def _note_late(self, since: float) -> None:
        if self._late_since is None:
            self._late_since = since
            self._late_report.begin(
                "rldk: the log disk does not answer; training goes on, records wait in memory, and a kill "
                "would lose those"
            )

    # The thread.

    def _work(self) -> None:
        me = threading.current_thread()
        self._thread_id = threading.get_native_id()
        with suppress(AttributeError, OSError):  # macOS has no such clock
            self._cpu_clock = time.pthread_getcpuclockid(threading.get_ident())
        while True:
            turn: _Turn | None
            try:
                turn = self._turns.get(timeout=RETRY_SECONDS if self._again else IDLE_SECONDS)
            except Empty:
                turn = None
            if turn is not None:
                self._take(turn)
                if self._turns.empty():
                    self._note_empty()
            if self._again:
                if time.monotonic() >= self._again_at:
                    again, self._again = self._again, []
                    for job in again:
                        self._take(_Turn(job, is_awaited=False))
            elif turn is None:
                self._note_empty()
                # In this order: who puts a job into the queue looks for a thread afterwards.
                with self._starting:
                    self._thread = None
                    if (self._turns.empty() and not self._at_end) or self._disowned:
                        return
                    self._thread = me
            del turn  # it holds what a training holds

    def _take(self, turn: _Turn) -> None:
        """Run a job, and note how the disk did."""
        job = turn.job
        job.is_queued = False
        began = time.monotonic()
        self._runs_in = threading.get_ident()
        try:
            self._call(job)
        except BaseException as error:
            turn.error = error
        self._runs_in = None
        self._note_answer(began if turn.is_timed else time.monotonic())
        turn.over.release()
        if isinstance(turn.error, Exception) and not turn.is_awaited:
            self.on_error("writing to the log disk", turn.error)

    def _call(self, job: Job) -> None:
        if job.call() is False and job not in self._again:
            if not self._again:
                self._again_at = time.monotonic() + RETRY_SECONDS
            self._again.append(job)

    def _note_answer(self, began: float) -> None:
        now = time.monotonic()
        self._soon, self._check_at = now + QUICK_SECONDS, now + CHECK_SECONDS
        self._usual_s += (now - began - self._usual_s) / 8
        if self._usual_s > SLOW_SECONDS:
            self._distrust(now)
        elif now - self._trusted_at > LONGEST_PAUSE_SECONDS:
            self._pause_s = 1.0

    def _note_empty(self) -> None:
        """The queue is empty: a disk that was late answers again."""
        self._exit.renew()
        if self._late_since is not None:
            now = time.monotonic()
            waited, self._late_since = now - self._late_since, None
            while self._waits and self._waits[-1][1] <= waited:
                self._waits.pop()
            self._waits.append((now, waited))
            self._distrust(now)
            self._late_report.end("rldk: the log disk answers again after %.1f s", waited)

    def _distrust(self, now: float) -> None:
        """Have nobody wait for the disk for a while."""
        self._trusted_at = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, LONGEST_PAUSE_SECONDS)
        self._usual_s = 0.0


class _Report:
    """Reports that something is wrong, and that it is right again: not both all the time."""

    def __init__(self) -> None:
        self._begun_at: float | None = None
        self._is_open = False

    def begin(self, message: str, *values: object) -> None:
        """Report what is wrong."""
        now = time.monotonic()
        if self._begun_at is None or now - self._begun_at >= QUIET_SECONDS:
            self._begun_at, self._is_open = now, True
            warn(message, *values)

    def end(self, message: str, *values: object) -> None:
        """Report that it is right again, if it was reported that it was wrong."""
        if self._is_open:
            self._is_open = False
            warn(message, *values)


_disks: dict[tuple[int, str], Disk] = {}
"""By process and folder: what is known of a disk outlives a run, and a forked child begins anew."""


def _is_work(before: float | None, after: float | None, seconds: float) -> bool:
    """Whether a thread did something in so many seconds, by its own time before and after them."""
    return before is not None and after is not None and after - before > WORKING * seconds

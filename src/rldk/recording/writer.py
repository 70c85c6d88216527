"""Appending lines to a run's events file so that none is lost.

Invariant: when `JsonlWriter.write` has returned, the line is with the operating system in one piece
(it survives `kill -9`), or it waits in memory, in order, for a disk that refuses it or does not answer.
`write` raises nothing that a disk can cause and waits for it no longer than `Disk` does; nothing here ever
truncates a file.
"""

import mmap
import os
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue

from rldk._after_fork import disown_in_child
from rldk._log import warn
from rldk.recording.disk import EXIT_SECONDS, RETRY_SECONDS, Disk, Job
from rldk.recording.lines import Lines
from rldk.recording.rotation import compress_parts, rotate
from rldk.schema.files import RunFiles

__all__ = ["MAX_WAITING_BYTES", "JsonlWriter", "check_options"]

MAX_WAITING_BYTES = 48_000_000
"""How much may wait in memory for the disk; then the oldest lines are lost, and counted."""
ROTATION_RETRY_SECONDS = 30.0
"""How long a part grows on before another try, where it could not be renamed."""
SYNC_SECONDS = 30.0
"""How often what was written is made to survive a loss of power, in the background."""
SYNC_WAIT_SECONDS = 5.0
"""How long `close` waits for the disk to make safe what it has."""
LOCK_SECONDS = 3.0
"""How long the disk's thread waits for a loop that writes without it, once until it makes way."""
FAST_SECONDS = 0.03
"""Lines that fill a memory page within this time are kept from crossing its end."""
PAGE = mmap.PAGESIZE
_sync_data = getattr(os, "fdatasync", os.fsync)  # macOS has the second only
_BLANKS = b" " * PAGE + b"\n"
_BATCH_BYTES = 1 << 20  # lines that waited are written together, up to so many bytes at once
_BUFFER_LINES = 1_000  # a buffer that holds so many lines is written, whatever its age


def check_options(*, rotate_mb: float | None, flush_interval: float) -> None:
    """Refuse options that `JsonlWriter` cannot work with.

    Raises:
        TypeError, ValueError: an option is no number, or out of range.
    """
    for name, option in (("rotate_mb", rotate_mb), ("flush_interval", flush_interval)):
        if option is not None and not isinstance(option, int | float):
            raise TypeError(f"{name} must be a number, not {type(option).__name__}")
    if rotate_mb is not None and not rotate_mb > 0:
        raise ValueError(f"rotate_mb must be above 0, or None for no rotation; got {rotate_mb}")
    if not flush_interval >= 0:
        raise ValueError(f"flush_interval must be 0 or more seconds; got {flush_interval}")


class JsonlWriter:
    """Appends to `files.events`: one `os.write` of one whole line to an `O_APPEND` descriptor.

    Args:
        files: the run. Its events file is made, or gone on with; a torn last line is ended first.
        rotate_mb: the file becomes the next numbered part when it would outgrow so many MB (10^6
            bytes); None: never.
        compress: gzip finished parts, in the background.
        flush_interval: seconds that lines may wait in memory to be written together, for loops of
            more than a thousand steps a second. A kill loses what waits. 0 writes each line at once.
        disk: the disk of the files; one of its own by default.

    Raises:
        TypeError, ValueError: an option is no number, or out of range.
    """

    def __init__(
        self,
        files: RunFiles,
        *,
        rotate_mb: float | None = None,
        compress: bool = False,
        flush_interval: float = 0.0,
        disk: Disk | None = None,
    ) -> None:
        check_options(rotate_mb=rotate_mb, flush_interval=flush_interval)
        self.written = 0
        """Lines that are on the file."""
        self.delayed = 0
        """Lines that waited in memory as the disk did not answer in time: a kill would have lost them."""
        self.sync_error: str | None = None
        """What the disk said when it could not keep what it had taken; None where it never did."""
        self._files = files
        self._rotate_bytes = rotate_mb * 1e6 if rotate_mb else None
        self._rotate_at = 0.0  # not before, as the disk refused
        self._rotation_failed = False
        self._compress = compress
        self._flush_interval = flush_interval
        self._disk = disk or Disk()
        self._job = Job(self._drain)
        self._fd = -1
        self._size = 0  # of the file, where nobody else writes to it
        self._lines = Lines(MAX_WAITING_BYTES)
        self._taken: list[bytes] = []  # lines that are being written
        self._lost = 0
        self._has_identity = True  # of the file: some disks give a path another one each time
        self._torn_at: int | None = None  # size of the file behind the part of a line that it took
        self._retry_at = 0.0
        self._page_at = 0.0
        self._buffered_at = 0.0
        self._dirty = False
        self._finished: list[Path] = []  # parts that were not synced yet
        self._disowned = False
        self._lock = threading.Lock()  # of all that writes to the file; `write` never waits for it
        self._wake: SimpleQueue[None] = SimpleQueue()  # no Event: a signal may interrupt who holds its lock
        self._lock_s = LOCK_SECONDS
        self._background: threading.Thread | None = None
        disown_in_child(self)

    @property
    def waiting(self) -> int:
        """Lines that are only in memory: a kill would lose them."""
        return len(self._lines) + len(self._taken)

    @property
    def lost(self) -> int:
        """Lines that were given up, as more than `MAX_WAITING_BYTES` waited or another process tore them."""
        return self._lost + self._lines.dropped

    def write(self, line: bytes | bytearray) -> None:
        """Append `line`, which has no newline of its own; a bytearray gets one, and may be used again."""
        if self._disowned:
            return
        line += b"\n"
        if not self._flush_interval and self._disk.is_quick() and self._lock.acquire(False):
            try:
                is_taken = self._write_here(line)
            finally:
                self._lock.release()
            if is_taken and not self._taken:
                return
        else:
            is_taken = False
        if not is_taken:
            self._lines.add(bytes(line))
        if self._flush_interval and self._may_wait():
            return
        if not self._disk.run(self._job):
            self.delayed += 1

    def flush(self) -> None:
        """Write what waits now, even if the disk refused a moment ago."""
        if not self._disowned:
            self._retry_at = 0.0
            self._disk.run(self._job, EXIT_SECONDS, insists=True, while_it_works=True)

    def sync(self) -> None:
        """Ask the background to make what was written survive a loss of power; returns at once."""
        self._wake.put(None)

    def close(self) -> None:
        """Write what waits, sync it, finish compressing. A later `write` opens the file again."""
        if not self._disowned:
            self._disk.run(Job(self._close), EXIT_SECONDS, insists=True, while_it_works=True)
            self._disk.close()

    def disown(self) -> None:
        """In a forked child: close its copy of the descriptor and write nothing from now on."""
        self._disowned = True
        fd, self._fd = self._fd, -1  # once: a child of this child may have another file under the number
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def tend(self) -> None:
        """One round of the background: flush the buffer, sync, compress finished parts."""
        if self._flush_interval and self._lines:
            self._disk.run(self._job)
        self._sync()
        if self._compress:
            compress_parts(self._files)

    def _may_wait(self) -> bool:
        """Whether the buffer is young and short enough to wait for more lines."""
        if len(self._lines) == 1:
            self._buffered_at = time.monotonic()
            self._start_background()
            return True
        young = time.monotonic() - self._buffered_at < self._flush_interval
        return young and len(self._lines) < _BUFFER_LINES

    @contextmanager
    def _alone(self) -> Iterator[bool]:
        """Keep others from the file; whether they made way. The main thread may have been interrupted by a
        signal within `write`, and wait for what is done here.
        """
        alone = self._lock.acquire(timeout=self._lock_s)
        self._lock_s = LOCK_SECONDS if alone else 0.0
        try:
            yield alone
        finally:
            if alone:
                self._lock.release()

    # The background.

    def _sync(self) -> None:
        """Have the disk keep what it took; with descriptors of our own, as a rotation closes the writer's."""
        finished: list[Path] = []
        with self._alone() as alone:
            if alone:
                finished, self._finished = self._finished, []
        for path in finished:
            with suppress(OSError):  # somebody has moved it
                self._sync_and_close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        with suppress(OSError):  # no more descriptors: the next time
            with self._alone() as alone:
                copy = os.dup(self._fd) if alone and self._dirty and self._fd >= 0 else -1
                self._dirty = not alone
            if copy >= 0:
                self._sync_and_close(copy)

    def _sync_and_close(self, fd: int) -> None:
        try:
            try:
                _sync_data(fd)
            finally:
                os.close(fd)
        except OSError as error:
            self._unsafe(error)

    # What touches the file: in the disk's thread, or in the caller's in a fast loop.

    def _write_here(self, line: bytes | bytearray) -> bool:
        """Write a line without another thread, if all is as usual; whether the file took some of it."""
        if self._fd < 0 or self._taken or self._lines:
            return False
        length = len(line)
        room = -(self._size + length) % PAGE
        if room <= PAGE // 3 and room * 8 < length * 9 and self._is_fast():
            line = line[:-1] + _BLANKS[PAGE - room :]
            length += room
        if self._rotate_bytes is not None and self._size + length > self._rotate_bytes:
            return False
        try:
            written = os.write(self._fd, line)
        except OSError:
            return False  # the disk's thread finds out why
        if written < length:
            self._taken = [bytes(line)]
            self._took(written)
            return True
        self._size += length
        self._dirty = True
        self.written += 1
        return True

    def _drain(self) -> bool:
        """Write the waiting lines in order, as far as the disk takes them; False where some wait on."""
        if self._disowned or not self.waiting:
            return True
        if self._retry_at > time.monotonic():
            return False
        with self._alone() as alone:
            try:
                if alone:
                    self._find_file()
                while alone and self._write_some():
                    pass
            except OSError as error:
                self._retry_at = time.monotonic() + RETRY_SECONDS
                self._disk.refuse(self._files.events, error)
                return False
        if not alone:
            return False
        self._disk.accept(self._files.events)
        return True

    def _write_some(self) -> bool:
        """One `os.write` of one line, or of several that waited; whether there was any."""
        if not self._taken:
            room = float(_BATCH_BYTES)
            if self._rotate_bytes is not None:
                self._rotate_if_full(self._rotate_bytes)
                room = min(room, self._rotate_bytes - self._size)
            if not self._taken:  # the file that was opened again may have begun a line
                self._taken = self._lines.take(room)
            if not self._taken:
                return False
            if len(self._taken) == 1:
                self._taken[0] = self._within_pages(self._taken[0])
        self._took(os.write(self._fd, self._taken[0] if len(self._taken) == 1 else b"".join(self._taken)))
        return True

    def _took(self, written: int) -> None:
        """The file has taken so many bytes of the lines that are being written."""
        self._size += written
        self._dirty = True
        self._torn_at = None
        done = 0
        while done < len(self._taken) and written >= len(self._taken[done]):
            written -= len(self._taken[done])
            done += 1
        self.written += done
        self._taken = self._taken[done:]
        if written:  # a short write: the rest of this line is to follow
            self._taken[0] = self._taken[0][written:]
            self._torn_at = os.fstat(self._fd).st_size

    def _within_pages(self, line: bytes) -> bytes:
        """A line, filled up with blanks where `_is_fast` says why."""
        room = -(self._size + len(line)) % PAGE
        crosses = room <= PAGE // 3 and room * 8 < len(line) * 9
        return line[:-1] + _BLANKS[PAGE - room :] if crosses and self._is_fast() else line

    def _is_fast(self) -> bool:
        """Whether the file grew by a memory page in no time: then a line is filled up with blanks to the
        end of its page, if the next would not fit in there and the blanks are few.

        Linux carries a `write` that a SIGKILL meets on to the end of the page, and no further: a line
        within one page is written whole or not at all. Of 100 kills of a loop that does nothing but
        write, 3 tore a line across two pages (tests/kill_writer.py). In a training of 10 ms a step it
        would be 1 in 10,000, and the blanks are not worth their bytes.
        """
        now = time.monotonic()
        since, self._page_at = now - self._page_at, now
        return since < FAST_SECONDS

    def _find_file(self) -> None:
        """Be at the end of the file that is under the path now, and behind a whole line."""
        path = self._files.events
        if self._fd >= 0 and self._is_elsewhere(path):
            warn("rldk: %s was deleted, moved or replaced; rldk opens it again", path)
            self._close_file()
            if self._torn_at is not None:  # its beginning is in the other file
                self._give_up_torn()
        if self._fd < 0:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            self._size = 0
            self._page_at = time.monotonic()
            self._has_identity = not self._is_elsewhere(path)
            self._start_background()
        size = os.fstat(self._fd).st_size
        if self._torn_at is not None and size != self._torn_at:
            self._give_up_torn()
            warn("rldk: another process tore a record of %s", path)
        if size != self._size:  # somebody else wrote
            self._size = size
            if self._torn_at is None and size and os.pread(self._fd, 1, size - 1) != b"\n":
                self._taken = self._taken or self._lines.take(0)
                if self._taken:
                    self._taken[0] = b"\n" + self._taken[0]

    def _is_elsewhere(self, path: Path) -> bool:
        """Whether the open file is not the one under the path."""
        try:
            here = os.fstat(self._fd)
        except OSError:  # a network disk does not know it any more (ESTALE)
            return True
        if here.st_nlink == 0:
            return True
        try:
            return self._has_identity and not os.path.samestat(here, os.stat(path))
        except FileNotFoundError:
            return True
        except OSError:  # a folder that cannot be searched
            return False

    def _give_up_torn(self) -> None:
        """The rest of a torn line cannot join its beginning any more."""
        del self._taken[:1]
        self._lost += 1
        self._torn_at = None

    def _rotate_if_full(self, limit: float) -> None:
        """Go on in a new file; where that cannot be, in the old one for a while."""
        if (
            not self._size
            or self._size + self._lines.next_size <= limit
            or time.monotonic() < self._rotate_at
        ):
            return
        self._close_file()
        try:
            self._finished.append(rotate(self._files))
        except OSError as error:
            self._rotate_at = time.monotonic() + ROTATION_RETRY_SECONDS
            if not self._rotation_failed:
                self._rotation_failed = True
                warn("rldk: cannot rotate %s (%s); rldk tries again", self._files.events, error)
        self._find_file()
        if self._compress:
            self._wake.put(None)

    def _close(self) -> None:
        """Write what waits, have it safe, and let go of the file."""
        self._retry_at = 0.0
        self._drain()
        background, wake = self._background, self._wake
        self._background, self._wake = (
            None,
            SimpleQueue(),
        )  # a later thread must not miss what an old one gets
        if background is not None:
            wake.put(None)
            background.join(SYNC_WAIT_SECONDS)
        if background is None or not background.is_alive():
            self.tend()
        with self._alone() as alone:
            if alone:
                self._close_file()

    def _close_file(self) -> None:
        """Let go of the file; a network disk may say only now that it could not keep what it took."""
        fd, self._fd = self._fd, -1  # first: after a failed close the number may soon be another file's
        if fd >= 0:
            try:
                os.close(fd)
            except OSError as error:
                self._unsafe(error)

    def _unsafe(self, error: OSError) -> None:
        """What the disk had taken may not be there."""
        if self.sync_error is None:
            self.sync_error = error.strerror or str(error)
            warn("rldk: the disk may have lost records of %s (%s)", self._files.events, self.sync_error)

    def _start_background(self) -> None:
        if self._background is not None:
            return
        background = threading.Thread(
            target=_run_background,
            args=(weakref.ref(self), self._wake, min(self._flush_interval or SYNC_SECONDS, SYNC_SECONDS)),
            name="rldk-writer",
            daemon=True,
        )
        self._background = background
        try:
            background.start()
        except RuntimeError:  # no more threads, or the interpreter ends: `close` does the work
            self._background = None


def _run_background(reference: "weakref.ref[JsonlWriter]", wake: SimpleQueue[None], interval: float) -> None:
    """Tend the writer every `interval` seconds, and when woken, until it is closed or gone."""
    me = threading.current_thread()
    while True:
        with suppress(Empty):
            wake.get(timeout=interval)
        writer = reference()
        if writer is None or writer._background is not me:  # noqa: SLF001 - same module
            return
        with suppress(Exception):  # a failing background must not end, nor print in a training
            writer.tend()
        del writer

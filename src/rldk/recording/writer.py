"""Appending lines to a run's events file so that none is lost.

Invariant: when `JsonlWriter.write` has returned, the line is with the operating system in one piece
(it survives `kill -9`), or it waits in memory, in order, for a disk that refuses it. `write` raises
nothing that a disk can cause, and nothing here ever truncates a file.
"""

import mmap
import os
import threading
import time
import weakref
from collections import deque
from contextlib import suppress
from pathlib import Path

from rldk.files import RunFiles
from rldk.fork import give_up_in_child
from rldk.recording.rotation import compress_parts, rotate
from rldk.speech import warn

__all__ = ["MAX_WAITING", "JsonlWriter", "check_options"]

MAX_WAITING = 10_000
"""Lines that may wait in memory for a disk that refuses them; then the oldest are lost, and counted."""
RETRY_SECONDS = 1.0
"""How long a disk that refused a write is left alone."""
SYNC_SECONDS = 30.0
"""How often what was written is made to survive a loss of power, in the background."""
CLOSE_SECONDS = 60.0
"""How long `close` waits for the background, which a dead network disk may hold up."""
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
    ) -> None:
        check_options(rotate_mb=rotate_mb, flush_interval=flush_interval)
        self.written = 0
        """Lines that are on the file."""
        self.lost = 0
        """Lines that were given up because more than `MAX_WAITING` waited."""
        self.sync_error: str | None = None
        """What the disk said when it could not keep what it had taken; None where it never did."""
        self._files = files
        self._rotate_bytes = rotate_mb * 1e6 if rotate_mb else None
        self._compress = compress
        self._flush_interval = flush_interval
        self._fd = -1
        self._size = 0
        self._waiting: deque[bytes] = deque()
        self._torn_at: int | None = None  # size of the file behind the part of a line that it took
        self._retry_at = 0.0
        self._page_at = 0.0
        self._buffered_at = 0.0
        self._refused = False
        self._dirty = False
        self._finished: list[Path] = []  # parts that were not synced yet
        self._disowned = False
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._background: threading.Thread | None = None
        give_up_in_child(self)

    @property
    def waiting(self) -> int:
        """Lines that are only in memory: a kill would lose them."""
        return len(self._waiting)

    def write(self, line: bytes | bytearray) -> None:
        """Append `line`, which has no newline of its own; a bytearray gets one, and may be used again."""
        if self._disowned:
            return
        with self._lock:
            waiting = self._waiting
            if waiting or self._fd < 0 or self._flush_interval:
                line += b"\n"
                waiting.append(bytes(line))
                if not (self._flush_interval and self._may_wait()):
                    self._drain()
                return
            room = -(self._size + len(line) + 1) % PAGE
            crossing = room <= PAGE // 3 and room * 8 < len(line) * 9
            line += _BLANKS[PAGE - room :] if crossing and self._is_fast() else b"\n"
            if self._rotate_bytes is not None:
                waiting.append(bytes(line))
                self._drain()
                return
            try:  # nearly every line: what `_drain` does, without the price of its calls at each step
                written = os.write(self._fd, line)
            except OSError as error:
                waiting.append(bytes(line))
                self._wait_for_disk(error)
                return
            if written < len(line):
                waiting.append(bytes(line))
                self._took(written)
                return
            self._size += written
            self._dirty = True
            self.written += 1

    def flush(self) -> None:
        """Write what waits now, even if the disk refused a moment ago."""
        if self._disowned:
            return
        with self._lock:
            self._retry_at = 0.0
            self._drain()

    def sync(self) -> None:
        """Ask the background to make what was written survive a loss of power; returns at once."""
        self._wake.set()

    def close(self) -> None:
        """Write what waits, sync it, finish compressing. A later `write` opens the file again."""
        if self._disowned:
            return
        self.flush()
        background, self._background = self._background, None
        if background is not None:
            self._wake.set()
            background.join(CLOSE_SECONDS)
        if background is None or not background.is_alive():
            self.tend()
        with self._lock:
            self._close_file()

    def disown(self) -> None:
        """In a forked child: close its copy of the descriptor and write nothing from now on."""
        self._disowned = True
        fd, self._fd = self._fd, -1  # once: a child of this child may have another file under the number
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def tend(self) -> None:
        """One round of the background: flush the buffer, sync, compress finished parts."""
        if self._flush_interval:
            with self._lock:
                self._drain()
        self._sync()
        with self._lock, suppress(OSError):
            if self._fd >= 0 and os.fstat(self._fd).st_nlink == 0:
                warn("rldk: %s was deleted; a new one is begun", self._files.events)
                self._close_file()
        if self._compress:
            compress_parts(self._files)

    def _sync(self) -> None:
        """Have the disk keep what it took; with descriptors of our own, as a rotation closes the writer's."""
        with self._lock:
            finished, self._finished = self._finished, []
        for path in finished:
            with suppress(OSError):  # somebody has moved it
                self._sync_and_close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        with suppress(OSError):  # no more descriptors: the next time
            with self._lock:
                copy = os.dup(self._fd) if self._dirty and self._fd >= 0 else -1
                self._dirty = False
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

    # All below is called with the lock held.

    def _may_wait(self) -> bool:
        """Whether the buffer is young and short enough to wait for more lines."""
        if len(self._waiting) == 1:
            self._buffered_at = time.monotonic()
            self._start_background()
            return True
        young = time.monotonic() - self._buffered_at < self._flush_interval
        return young and len(self._waiting) < _BUFFER_LINES

    def _drain(self) -> None:
        """Write the waiting lines in order, as far as the disk takes them."""
        if not self._waiting:
            return
        if self._retry_at and self._retry_at > time.monotonic():
            self._drop_overflow()
            return
        try:
            if self._fd < 0:
                self._open()
            if self._torn_at is not None:
                self._check_torn()
            while self._waiting:
                self._write_some()
        except OSError as error:
            self._wait_for_disk(error)
        else:
            self._retry_at = 0.0
            if self._refused:
                self._refused = False
                warn("rldk: %s is written again", self._files.events)

    def _write_some(self) -> None:
        """One `os.write` of one line, or of several that waited."""
        if self._rotate_bytes is not None:
            self._rotate_if_full(self._rotate_bytes)
        self._took(os.write(self._fd, self._waiting[0] if len(self._waiting) == 1 else self._batch()))

    def _took(self, written: int) -> None:
        """The file has taken so many bytes of the waiting lines."""
        self._size += written
        self._dirty = True
        self._torn_at = None
        waiting = self._waiting
        while written:
            line = waiting.popleft()
            written -= len(line)
            if written < 0:  # a short write: the rest of this line is to follow
                waiting.appendleft(line[written:])
                self._torn_at = os.fstat(self._fd).st_size
                return
            self.written += 1

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

    def _batch(self) -> bytes:
        """The waiting lines that go into one write, and into the current part."""
        room = float(_BATCH_BYTES)
        if self._rotate_bytes is not None:
            room = min(room, self._rotate_bytes - self._size)
        batch: list[bytes] = []
        for line in self._waiting:
            room -= len(line)
            if batch and room < 0:
                break
            batch.append(line)
        return b"".join(batch)

    def _check_torn(self) -> None:
        """Give a torn line up if another process wrote behind it: then its rest cannot join it."""
        if os.fstat(self._fd).st_size != self._torn_at:
            self._waiting.popleft()
            self.lost += 1
            self._torn_at = None
            warn("rldk: another process tore a record of %s", self._files.events)

    def _open(self) -> None:
        path = self._files.events
        path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._size = os.fstat(self._fd).st_size
        self._page_at = time.monotonic()
        ended = not self._size or os.pread(self._fd, 1, self._size - 1) == b"\n"
        if not ended and self._torn_at is None:
            self._waiting[0] = b"\n" + self._waiting[0]
        self._start_background()

    def _rotate_if_full(self, limit: float) -> None:
        """Go on in a new file; where that cannot be, in the old one."""
        if not self._size or self._size + len(self._waiting[0]) <= limit or self._torn_at is not None:
            return
        self._close_file()
        try:
            self._finished.append(rotate(self._files))
        except OSError as error:
            self._rotate_bytes = None
            warn("rldk: cannot rotate %s (%s); it grows on", self._files.events, error)
        self._open()
        if self._compress:
            self._wake.set()

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

    def _wait_for_disk(self, error: OSError) -> None:
        self._retry_at = time.monotonic() + RETRY_SECONDS
        if not self._refused:
            self._refused = True
            warn(
                "rldk: cannot write %s (%s); training goes on, up to %d records wait in memory",
                self._files.events,
                error.strerror or error,
                MAX_WAITING,
            )
        self._drop_overflow()

    def _drop_overflow(self) -> None:
        while len(self._waiting) > MAX_WAITING:
            del self._waiting[1]  # the first stays: it may be the rest of a torn line
            self.lost += 1

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


def _run_background(reference: "weakref.ref[JsonlWriter]", wake: threading.Event, interval: float) -> None:
    """Tend the writer every `interval` seconds, and when woken, until it is closed or gone."""
    me = threading.current_thread()
    while True:
        wake.wait(interval)
        wake.clear()
        writer = reference()
        if writer is None or writer._background is not me:  # noqa: SLF001 - same module
            return
        with suppress(Exception):  # a failing background must not end, nor print in a training
            writer.tend()
        del writer

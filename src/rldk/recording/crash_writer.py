"""The crash file of a process: what raised and where, the last records, the stacks of all threads.

Owns `{run_id}_crash.txt`. Invariant: text is only ever added to it, so much and no more, and without secrets;
nothing here raises for what a disk or an exception can do; a run that ends well leaves no empty file.
"""

import faulthandler
import os
import sys
import threading
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO

from rldk._after_fork import disown_in_child
from rldk._log import warn
from rldk.recording.redaction import redact_text, shortened
from rldk.schema.crash_file import BEGAN, ENDED, FIELDS
from rldk.schema.event import escaped
from rldk.schema.files import RunFiles
from rldk.schema.run_info import RunEnd

__all__ = ["CrashFile", "all_stacks", "last_lines", "one_line", "traceback_text"]

LINE_CHARS = 4_000
"""Longest line of a traceback or of the records."""
SECTION_CHARS = 100_000
"""Longest section."""
FRAMES = 100
"""Frames that are shown of an exception and of a thread, the innermost."""
MOST_THREADS = 100
"""Threads whose stacks are shown; of more, the main one and others."""
TAIL_BYTES = 1 << 18
"""How much of the end of the events is read for the last records."""


class CrashFile:
    """The crash file of one process.

    Args:
        path: `RunFiles.crash(rank)`.
        from_step: the step that the training goes on from.
    """

    def __init__(self, path: Path, from_step: int = 0) -> None:
        self.path = path
        """The file; it is made when there is something to write."""
        self._from_step = from_step
        self._file: IO[bytes] | None = None
        self._references = 0
        self.is_disowned = False
        """Whether this is a forked child, whose errors are not this run's."""
        self._has_warned = False
        disown_in_child(self)

    def open(self) -> None:
        """Begin a training. Errors below Python (a segmentation fault, an abort) are written here from now
        on, unless somebody has them written elsewhere; the process dies of them as ever.
        """
        with suppress(OSError):
            if self.path.stat().st_size:
                self.add([f"{BEGAN} {self._from_step}, {now()}"])
        if faulthandler.is_enabled():
            return
        with suppress(Exception):
            self._file = self.path.open("ab")
            faulthandler.enable(self._file)
            self._references = sys.getrefcount(self._file)

    def add(self, lines: Iterable[str], stacks: Sequence[str] = ()) -> None:
        """Append lines without their secrets, then stacks as they were taken by `all_stacks`."""
        self._append([*redact_text("\n".join(lines)).split("\n"), *stacks])

    def _append(self, lines: Iterable[str]) -> None:
        if self.is_disowned:
            return
        try:
            text = "".join(f"{escaped(line)}\n" for line in lines)
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                _write_all(file, text.encode())
            finally:
                os.close(file)
        except OSError as error:
            if not self._has_warned:
                self._has_warned = True
                warn("rldk: cannot write %s (%s)", self.path, error.strerror or error)

    def add_end(self, end: RunEnd, sections: Iterable[tuple[str, Sequence[str]]]) -> None:
        """Append how the process ended.

        Args:
            end: what is read again later.
            sections: titles and lines of all else; empty ones are left out.
        """
        fields = {field: getattr(end, field) for field in FIELDS}
        lines = [
            ENDED,
            *(f"{field}: {one_line(str(value))}" for field, value in fields.items() if value is not None),
        ]
        lines += [text for title, content in sections if content for text in ("", title, *_bounded(content))]
        self._append([*lines, *all_stacks()])

    def close(self) -> None:
        """Let go of the file; an empty one is removed, but not by a forked child."""
        self._let_go()
        with suppress(OSError):
            if not self.is_disowned and self.path.stat().st_size == 0:
                self.path.unlink()

    def disown(self) -> None:
        """In a forked child: its errors are not this run's, and the file stays its parent's."""
        self.is_disowned = True
        self._let_go()

    def _let_go(self) -> None:
        if self._file is None:
            return
        # Whoever enabled faulthandler again since has taken our file out of it, and its reference.
        if faulthandler.is_enabled() and sys.getrefcount(self._file) >= self._references:
            faulthandler.disable()
        with suppress(OSError):
            self._file.close()
        self._file = None


def now() -> str:
    """UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def one_line(text: str) -> str:
    """A text as a line of bounded length without secrets."""
    return " ".join(redact_text(shortened(text, 2 * LINE_CHARS)).split())[:LINE_CHARS]


def all_stacks() -> list[str]:
    """Where every thread is at this moment, the main one first.

    No file is read for it and no lock is taken: the disk may hang, and any thread may hold any lock.
    """
    frames, main = sys._current_frames(), threading.main_thread().ident  # noqa: SLF001 - the documented way
    threads = sorted(frames, key=lambda thread: thread != main)
    lines = ["", "Stacks of all threads (the innermost frame first)"]
    for thread in threads[:MOST_THREADS]:
        name = "Main thread" if thread == main else "Thread"
        lines += ["", f"{name} 0x{thread:016x}:"]
        lines += [
            f'  File "{frame.f_code.co_filename}", line {line} in {frame.f_code.co_name}'
            for frame, line in islice(traceback.walk_stack(frames[thread]), FRAMES)
        ]
    if len(threads) > MOST_THREADS:
        lines += ["", f"... {len(threads) - MOST_THREADS} more threads"]
    return [*lines, ""]


def traceback_text(error: BaseException) -> list[str]:
    """An exception as Python prints it, its frames bounded; `CrashFile.add_end` blanks its secrets."""
    try:
        formatted = traceback.TracebackException(
            type(error), error, error.__traceback__, limit=-FRAMES, compact=True
        )
        text = "".join(formatted.format())
    except Exception as failure:  # an exception can be anything
        text = f"{type(error).__name__} (its traceback cannot be shown: {type(failure).__name__})"
    return text.splitlines()


def last_lines(files: RunFiles, count: int) -> list[str]:
    """The newest records of a run as they stand in its events, the newest last; none of a gzipped part."""
    lines: list[bytes] = []
    for path in reversed(files.parts()[-2:]):
        if len(lines) >= count or path.suffix == ".gz":
            break
        with suppress(OSError), path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(size - TAIL_BYTES, 0)
            file.seek(start)
            found = file.read(TAIL_BYTES).splitlines()
            lines = [*(found[1:] if start else found), *lines]
    return [line.decode(errors="replace").rstrip() for line in lines[-count:]]


def _bounded(lines: Sequence[str]) -> list[str]:
    """Lines without secrets, cut where they are too long or too many, in their middle.

    Secrets are looked for in all lines together: one may have several.
    """
    text = redact_text("\n".join(shortened(line, 2 * LINE_CHARS) for line in _ends_of(lines)))
    cut = (line if len(line) <= LINE_CHARS else f"{line[:LINE_CHARS]}..." for line in text.split("\n"))
    text = "\n".join(cut)
    if len(text) > SECTION_CHARS:
        half = SECTION_CHARS // 2
        text = f"{text[:half]}\n... {len(text) - 2 * half} characters are left out ...\n{text[-half:]}"
    return text.splitlines()


def _ends_of(lines: Sequence[str]) -> list[str]:
    """The first and the last lines, as many as a section may need."""
    first = _fitting(lines)
    if first == len(lines):
        return [*lines]
    last = len(lines) - max(min(_fitting(lines[::-1]), len(lines) - first), 1)
    return [*lines[:first], f"... {last - first} lines are left out ...", *lines[last:]]


def _fitting(lines: Sequence[str]) -> int:
    """How many lines, from the first on, hold as many characters as a section, and one line more."""
    characters = 0
    for number, line in enumerate(lines, 1):
        characters += min(len(line), 2 * LINE_CHARS) + 1
        if characters > SECTION_CHARS:
            return number
    return len(lines)


def _write_all(file: int, content: bytes) -> None:
    while content:
        content = content[os.write(file, content) :]

"""Defines an adapter, which reads one format of another tool's logs as rows.

Invariant: an adapter only reads. It yields the logged values in order, under the log's own keys, and passes
each unreadable line to `on_bad`. `rldk.runs.foreign_run` assigns names, phases and missing steps, for all
formats alike.
"""

import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from rldk.metrics.dialects import Dialect
from rldk.runs.line_reader import MAX_LINE, MAX_RATIO, BadLine, too_long
from rldk.schema.event import Phase

__all__ = ["MAX_LINE", "MAX_RATIO", "Adapter", "OnBad", "Probe", "Row", "open_binary", "text_lines"]

HEAD_BYTES = 1 << 16
"""Bytes of a file by which an adapter may recognise its format."""

HOLE = 512
"""So many NUL bytes in a line are a hole: the disk lost the data there."""

_BINARY = re.compile(rb"[\x01-\x06\x0e-\x1a\x1c-\x1f\x7f]")
"""Bytes that no program prints to a console."""
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")

OnBad = Callable[[BadLine], None]


class Row(NamedTuple):
    """One record of a log, as the tool logged it."""

    values: Mapping[str, Any]
    """The logged values under the log's own keys, nested as in the log; without the step's key."""
    step: int | None = None
    """The optimizer step; None if the record has none."""
    wall_time: float | None = None
    """Seconds since the run began or since 1970; the first time in a log is the beginning."""
    phase: Phase | None = None
    """The phase; None if only the keys show it."""


class Probe:
    """A path and its first kilobytes, by which adapters recognise their format."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name.removesuffix(".gz").lower()
        """The file's name in lower case, without `.gz`."""

    @cached_property
    def is_dir(self) -> bool:
        """Whether the path is a folder."""
        return self.path.is_dir()

    @cached_property
    def head(self) -> bytes:
        """The first 64 KiB of the file, unpacked; empty for a folder.

        Raises:
            OSError: the file cannot be read.
        """
        if self.is_dir:
            return b""
        head = b""
        with open_binary(self.path) as file:
            try:
                while len(head) < HEAD_BYTES and (piece := file.read1(HEAD_BYTES)):
                    head += piece
            except (EOFError, zlib.error, gzip.BadGzipFile):
                pass  # the bytes before the damage are enough
        return head[:HEAD_BYTES]

    @cached_property
    def text(self) -> str:
        """The head as text, without colours and stray NUL bytes; empty if it is binary."""
        if self.head[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\0" in self.head:
            head = self.head.replace(b"\0", b"")
            return "" if _BINARY.search(head) else _ANSI.sub("", head.decode("utf-8", "replace"))
        return _ANSI.sub("", self.head.decode(_encoding(self.head), "replace"))

    @cached_property
    def lines(self) -> list[str]:
        """The lines of `text` that are not blank; the last may be incomplete."""
        return [line for line in re.split(r"[\r\n]+", self.text) if line.strip()]


@dataclass(frozen=True)
class Adapter:
    """Reads one format of logs.

    Example:
        ```python
        from rldk import open_run
        from rldk.runs.adapters import Adapter, Row, text_lines


        def rows(path, on_bad):
            for _, line in text_lines(path, on_bad):
                step, loss = line.split()
                yield Row({"loss": float(loss)}, step=int(step))


        pairs = Adapter("two-columns", "lines of a step and a loss", lambda probe: 0.0, rows)
        run = open_run("loss.txt", input_format=pairs)
        ```
    """

    name: str
    """Its name for `--input-format`."""
    what: str
    """A few words for what it reads."""
    confidence: Callable[[Probe], float]
    """How sure the adapter is of its format, from 0 to 1; generic formats stay below 0.5."""
    rows: Callable[[Path, OnBad], Iterator[Row]]
    """The records.

    Raises OSError if the file cannot be read, MissingDependencyError if a library is missing."""
    dialect: str | Dialect | None = None
    """The dialect of its keys, or the dialect's name, if one framework alone writes the format."""


def open_binary(path: Path) -> io.BufferedReader:
    """Open a file, and unpack it if its first bytes are those of gzip, whatever its name."""
    file = path.open("rb")
    if file.peek(2)[:2] != b"\x1f\x8b":
        return file
    return io.BufferedReader(_GzipReader(file))


class _GzipReader(io.RawIOBase):
    """The content of a gzip file; it yields all content before the damage, and only then raises."""

    def __init__(self, packed: io.BufferedReader) -> None:
        self._packed = packed
        self._content = gzip.GzipFile(fileobj=packed)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._content.read1(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        self._packed.close()
        super().close()


def text_lines(path: Path, on_bad: OnBad) -> Iterator[tuple[int, str]]:
    """Yields the lines of a text log with their numbers, without colours, newlines and blank lines.

    A carriage return, as of a progress bar, splits a line: each piece has the number of the whole line.
    Invalid UTF-8 is replaced, and NUL bytes are removed. `on_bad` gets each line longer than `MAX_LINE`, each
    hole of NUL bytes, and the place where a gzip file is damaged or unpacks to too much.
    """
    number, skipping, missing = 1, False, 0
    for number, piece in _pieces(path, on_bad):
        ends = len(piece) < MAX_LINE or piece.endswith(("\n", "\r"))
        line = piece.replace("\0", "") if "\0" in piece else piece
        missing += len(piece) - len(line)
        if ends and missing >= HOLE:
            on_bad(BadLine(path, number, f"a hole of {missing:,} NUL bytes: the data there is lost"))
        if not ends and line and not skipping:
            on_bad(too_long(path, number))
            skipping = True
        if ends and line and not skipping and not line.isspace():
            line = line.rstrip("\r\n")
            yield number, _ANSI.sub("", line) if "\x1b" in line else line
        if ends:
            skipping, missing = False, 0
    if missing >= HOLE:
        on_bad(BadLine(path, number, f"a hole of {missing:,} NUL bytes: the data there is lost"))


def _pieces(path: Path, on_bad: OnBad) -> Iterator[tuple[int, str]]:
    """Yields pieces with their line numbers: a carriage return, a newline or `MAX_LINE` ends a piece."""
    with open_binary(path) as file:
        packed = isinstance(file.raw, _GzipReader)
        bound = path.stat().st_size * MAX_RATIO + HEAD_BYTES
        try:
            encoding = _encoding(file.peek(4))
        except (EOFError, OSError, zlib.error) as error:
            on_bad(BadLine(path, 1, f"the file is damaged: {error}"))
            return
        text = io.TextIOWrapper(file, encoding=encoding, errors="replace", newline="")
        number, taken = 1, 0
        while True:
            try:
                piece = text.readline(MAX_LINE)
            except (EOFError, OSError, zlib.error) as error:
                on_bad(BadLine(path, number, f"the file is cut short or damaged here: {error}"))
                return
            if not piece:
                return
            taken += len(piece)
            if packed and taken > bound:
                on_bad(BadLine(path, number, "the packed file grows beyond all reason; the rest is left"))
                return
            yield number, piece
            number += piece.endswith("\n")


def _encoding(start: bytes) -> str:
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    return "utf-8-sig" if start.startswith(b"\xef\xbb\xbf") else "utf-8"

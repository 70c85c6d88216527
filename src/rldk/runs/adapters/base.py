"""What an adapter is: one container format of other people's logs, read as rows.

Invariant: an adapter only reads; it yields what stands in the log under the log's own keys, in order,
and passes every line that it had to give up to `on_bad`. Names, phases and missing steps are settled by
`rldk.runs.foreign_run`, the same way for all formats.
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
"""How much of a file an adapter may look at to say whether it is its own."""

HOLE = 512
"""NUL bytes, of which so many in a line are a hole: a disk lost what was written there."""

_BINARY = re.compile(rb"[\x01-\x06\x0e-\x1a\x1c-\x1f\x7f]")
"""What no console is sent."""
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")

OnBad = Callable[[BadLine], None]


class Row(NamedTuple):
    """One record of a log, as it stands there."""

    values: Mapping[str, Any]
    """The logged values by the log's own keys, nested where the log nests; without the step key."""
    step: int | None = None
    """The optimizer step, where the record says it."""
    wall_time: float | None = None
    """Seconds since the run began, or an epoch time: the reader takes the first as the beginning."""
    phase: Phase | None = None
    """The phase, where the format (not the keys) says it."""


class Probe:
    """A path and its first kilobytes, which adapters judge by."""

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
                pass  # what could be unpacked will do
        return head[:HEAD_BYTES]

    @cached_property
    def text(self) -> str:
        """The head as text, without colours and stray NUL bytes; empty where it is binary."""
        if self.head[:2] not in (b"\xff\xfe", b"\xfe\xff") and b"\0" in self.head:
            head = self.head.replace(b"\0", b"")
            return "" if _BINARY.search(head) else _ANSI.sub("", head.decode("utf-8", "replace"))
        return _ANSI.sub("", self.head.decode(_encoding(self.head), "replace"))

    @cached_property
    def lines(self) -> list[str]:
        """The lines of `text` that are not blank; the last may be cut."""
        return [line for line in re.split(r"[\r\n]+", self.text) if line.strip()]


@dataclass(frozen=True)
class Adapter:
    """One container format.

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
    """What `--input-format` calls it."""
    what: str
    """What it reads, in a few words."""
    confidence: Callable[[Probe], float]
    """How sure the format is: 0 not at all, 1 beyond doubt; generic formats stay below 0.5."""
    rows: Callable[[Path, OnBad], Iterator[Row]]
    """The records.

    Raises OSError where the file cannot be read, MissingDependencyError where a library is needed."""
    dialect: str | Dialect | None = None
    """The dialect of its keys, or its name, where the format is that of one framework."""


def open_binary(path: Path) -> io.BufferedReader:
    """Open a file, unpacked if it is gzip; its first bytes decide, not its name."""
    file = path.open("rb")
    if file.peek(2)[:2] != b"\x1f\x8b":
        return file
    return io.BufferedReader(_GzipReader(file))


class _GzipReader(io.RawIOBase):
    """The content of a gzip file; what comes before a damage is given before the damage is an error."""

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
    """The lines of a text log with their numbers, without colours, newlines and blank lines.

    A carriage return (a progress bar) ends a piece of a line: each piece comes by itself, under the
    number of the whole line. Bytes that are no UTF-8 are replaced, NUL bytes left out. A line beyond
    `MAX_LINE`, a hole of NUL bytes, a gzip file that is cut short, damaged or grows beyond all reason goes
    to `on_bad`.
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
    """The pieces that carriage returns and newlines end, or the length of `MAX_LINE`; with line numbers."""
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

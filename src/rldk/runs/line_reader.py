"""The lines of events files, forwards and backwards.

Invariant: memory is bounded by `MAX_LINE`, whatever the file contains; each skipped line goes to `on_bad`
with its position and the reason.
"""

import gzip
import math
import os
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, NamedTuple

__all__ = [
    "MAX_LINE",
    "MAX_RATIO",
    "BadLine",
    "ignore",
    "lines_backward",
    "lines_of",
    "most_of",
    "open_part",
    "read_lines",
    "too_long",
]

MAX_LINE = 1 << 25
"""Longest line (in bytes, or characters of text); a longer line is no log line, and is skipped."""
MAX_RATIO = 400
"""Largest ratio of unpacked to packed size of a gzip file; beyond it, it is no log, and reading stops."""
HEAD_BYTES = 1 << 16
"""Bytes that a gzip file may unpack to regardless of the ratio."""

_LAST_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 22


class BadLine(NamedTuple):
    """A line that rldk cannot read."""

    path: Path
    """The file."""
    number: int
    """Number of the line, from 1."""
    reason: str
    """The problem."""


def ignore(bad: BadLine) -> None:
    """Ignore bad lines."""


def too_long(path: Path, number: int) -> BadLine:
    """A line beyond `MAX_LINE`."""
    return BadLine(path, number, f"a line of more than {MAX_LINE:,} characters")


def read_lines(path: Path, on_bad: Callable[[BadLine], None] = ignore) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, plain or gzip, with their numbers and newlines, without blank lines.

    If the recorder has compressed and removed a part meanwhile, it reads the `.gz`. Reading ends at a damage
    in a gzip file, which goes to `on_bad`.

    Raises:
        OSError: rldk cannot read the file.
    """
    with open_part(path) as file:
        yield from lines_of(path, file, on_bad)


def lines_of(
    path: Path, file: BinaryIO | gzip.GzipFile, on_bad: Callable[[BadLine], None]
) -> Iterator[tuple[int, bytes]]:
    """`read_lines` of an open file."""
    left = most_of(file)
    number, skipping = 1, False
    try:
        for line in iter(partial(file.readline, MAX_LINE), b""):
            left -= len(line)
            if left < 0:
                on_bad(BadLine(path, number, "the gzip file unpacks to too much data; the rest is ignored"))
                return
            if len(line) == MAX_LINE and not line.endswith(b"\n"):
                if not skipping:
                    on_bad(too_long(path, number))
                skipping = True
                continue
            if not skipping and not line.isspace():
                yield number, line
            skipping = False
            number += 1
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        on_bad(BadLine(path, number, f"the gzip file is cut short or damaged: {error}"))


def most_of(file: BinaryIO | gzip.GzipFile) -> float:
    """The most bytes to read from a file: a gzip bomb would never end."""
    packed = isinstance(file, gzip.GzipFile)
    return os.fstat(file.fileno()).st_size * MAX_RATIO + HEAD_BYTES if packed else math.inf


def lines_backward(path: Path) -> Iterator[bytes]:
    """The lines of a file, plain or gzip, from the last to the first; overlong lines may be cut.

    Raises:
        OSError: rldk cannot read the file.
    """
    with open_part(path) as file:
        if isinstance(file, gzip.GzipFile):
            yield from reversed([line for _, line in lines_of(path, file, ignore)])
            return
        end, size = file.seek(0, os.SEEK_END), _LAST_BYTES
        begun, long = b"", False
        while end:
            start = max(end - size, 0)
            file.seek(start)
            first, *whole = (file.read(end - start) + begun).split(b"\n")
            yield from reversed(whole)
            long = len(first) > MAX_LINE or (long and not whole)
            begun = b"" if long else first
            end, size = start, _BLOCK_BYTES
        yield begun


def open_part(path: Path) -> BinaryIO | gzip.GzipFile:
    """Open a part, unpacked; or its `.gz`, if the recorder has compressed and removed the part meanwhile.

    Raises:
        OSError: rldk cannot read the file.
    """
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    except FileNotFoundError:
        packed = path.with_name(f"{path.name}.gz")
        if not packed.exists():
            raise
        return gzip.open(packed, "rb")

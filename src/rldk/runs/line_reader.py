"""The lines of events files, forwards and backwards.

Invariant: memory is bounded by `MAX_LINE`, whatever the file holds; a line that is passed over goes to
`on_bad` with its place and reason.
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
"""Length of a line (bytes, or characters of text); a longer one is no log line, and is passed over."""
MAX_RATIO = 400
"""A gzip file that grows by more than this is read no further: a log does not."""
HEAD_BYTES = 1 << 16
"""What a gzip file may hold in any case."""

_LAST_BYTES = 1 << 16
_BLOCK_BYTES = 1 << 22


class BadLine(NamedTuple):
    """A line that is no Event."""

    path: Path
    """The file."""
    number: int
    """The line in it, counted from 1."""
    reason: str
    """What is wrong."""


def ignore(bad: BadLine) -> None:
    """Take a bad line for one who does not ask."""


def too_long(path: Path, number: int) -> BadLine:
    """A line beyond `MAX_LINE`."""
    return BadLine(path, number, f"a line of more than {MAX_LINE:,} characters")


def read_lines(path: Path, on_bad: Callable[[BadLine], None] = ignore) -> Iterator[tuple[int, bytes]]:
    """The lines of a file, plain or gzip, with their numbers and their newlines; not the blank ones.

    A part that was compressed and removed after it was listed is read from its `.gz`. A gzip file
    that is cut short or damaged ends at the damage, which goes to `on_bad`.

    Raises:
        OSError: the file cannot be read.
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
                on_bad(BadLine(path, number, "the packed file grows beyond all reason; the rest is left"))
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
    """How many bytes of a file are read at most: a gzip bomb has no end in reach."""
    packed = isinstance(file, gzip.GzipFile)
    return os.fstat(file.fileno()).st_size * MAX_RATIO + HEAD_BYTES if packed else math.inf


def lines_backward(path: Path) -> Iterator[bytes]:
    """The lines of a file, plain or gzip, from the last to the first; what is no line of ours may be cut.

    Raises:
        OSError: the file cannot be read.
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
    """The bytes of a part, unpacked; of its `.gz` where it was compressed and removed meanwhile.

    Raises:
        OSError: the file cannot be read.
    """
    try:
        return gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb")
    except FileNotFoundError:
        packed = path.with_name(f"{path.name}.gz")
        if not packed.exists():
            raise
        return gzip.open(packed, "rb")

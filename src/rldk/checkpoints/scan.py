"""Reads the bytes of a tensor, and of the same tensor in the previous checkpoint, in one pass.

Invariant: it needs the memory of one chunk, whatever the tensor. It never maps a file: if a mapped file
shrinks, SIGBUS ends the process, which may be a training.
"""

import math
import os
import zlib
from typing import Any, NamedTuple

import numpy as np

from rldk.checkpoints.dtypes import FLOATS, Floats, into_float32
from rldk.checkpoints.safetensors import Entry

__all__ = ["CutShortError", "Scanner", "TensorStats"]

CHUNK = 1 << 16
"""Elements in a chunk: with their float32 copies they fit a second-level cache of 1 MB."""


class CutShortError(Exception):
    """A file ended before the end of a tensor that it held when it was opened."""


class TensorStats(NamedTuple):
    """The statistics of a tensor's bytes."""

    crc: int
    """CRC-32 of all bytes."""
    squares: float | None
    """Sum of the squares of the finite elements; None if it is no float."""
    nan: int
    """Elements that are NaN."""
    inf: int
    """Elements that are infinite."""
    lowest: int
    """Elements that are -inf."""
    changed: int | None
    """Elements whose bits differ from the previous ones; None if not compared, or not of whole bytes."""
    moved: float | None
    """Sum of the squares of the finite differences; None if not compared, or no float."""


def _width(entry: Entry) -> int | None:
    """Bytes of an element; None if numpy has no integer of that size."""
    size = entry.end - entry.start
    width = size // entry.elements if entry.elements and size % entry.elements == 0 else 0
    return width if width in (1, 2, 4, 8) else None


class Scanner:
    """Measures tensors, one at a time, and reuses its buffers. For one thread."""

    def __init__(self) -> None:
        self.bytes_read = 0
        """Bytes read so far."""
        self._raw = np.empty(CHUNK * 8, np.uint8)
        self._before = np.empty(CHUNK * 8, np.uint8)
        self._floats = np.empty(CHUNK, np.float32)
        self._floats_before = np.empty(CHUNK, np.float32)
        self._difference = np.empty(CHUNK, np.float32)
        self._differs = np.empty(CHUNK * 8, np.bool_)

    def measure(self, fd: int, entry: Entry, before: tuple[int, Entry] | None = None) -> TensorStats:
        """Read a tensor, and the previous one of the same dtype and size.

        Raises:
            CutShortError: the file ended.
            OSError: the disk cannot read it.
        """
        numeric = entry.dtype in FLOATS
        elementwise = _width(entry)
        width = elementwise or 1
        crc = changed = nan = inf = lowest = 0
        squares = moved = 0.0
        for offset in range(0, entry.end - entry.start, CHUNK * width):
            count = min(CHUNK * width, entry.end - entry.start - offset)
            raw = self._read(fd, self._raw[:count], entry.start + offset)
            crc = zlib.crc32(raw, crc)
            floats = into_float32(entry.dtype, raw, self._floats) if numeric else None
            if floats is not None:
                power, nans, infs = self._power(floats)
                squares, nan, inf = squares + power, nan + nans, inf + infs
                lowest += int(np.count_nonzero(np.isneginf(floats))) if infs else 0
            if before is None:
                continue
            old = self._read(before[0], self._before[:count], before[1].start + offset)
            differing = self._count(raw, old, width)
            changed += differing
            if differing and floats is not None:
                moved += self._moved(floats, into_float32(entry.dtype, old, self._floats_before))
        return TensorStats(
            crc,
            squares if numeric else None,
            nan,
            inf,
            lowest,
            changed if before is not None and (elementwise or not changed) else None,
            moved if numeric and before is not None else None,
        )

    def load(self, fd: int, entry: Entry) -> Floats | None:
        """A whole small tensor in its shape; None if it is no float."""
        if entry.dtype not in FLOATS:
            return None
        raw = self._read(fd, np.empty(entry.end - entry.start, np.uint8), entry.start)
        return into_float32(entry.dtype, raw, np.empty(entry.elements, np.float32)).reshape(entry.shape)

    def _read(self, fd: int, into: Any, offset: int) -> Any:
        """Fill `into`; the kernel reads at most 2 GB at once, and often less."""
        view, done = memoryview(into), 0
        while done < len(view):
            got = os.preadv(fd, [view[done:]], offset + done)
            if got <= 0:
                raise CutShortError
            done += got
        self.bytes_read += done
        return into

    def _count(self, raw: Any, old: Any, width: int) -> int:
        """Elements whose bits differ."""
        bits = f"<u{width}"
        new, was = raw.view(bits), old.view(bits)
        differs = np.not_equal(new, was, out=self._differs[: new.size])
        return int(np.count_nonzero(differs))

    @staticmethod
    def _power(floats: Floats) -> tuple[float, int, int]:
        """The sum of squares of the finite elements, and the numbers of NaN and infinite ones.

        `einsum` and not `dot`, as BLAS threads would take the cores of the training. A finite sum proves that
        every element is finite, so only other sums need a closer look.
        """
        with np.errstate(over="ignore", invalid="ignore"):
            power = float(np.einsum("i,i->", floats, floats))
        if math.isfinite(power):
            return power, 0, 0
        nan, inf = int(np.count_nonzero(np.isnan(floats))), int(np.count_nonzero(np.isinf(floats)))
        finite = floats[np.isfinite(floats)].astype(np.float64)
        return float(np.einsum("i,i->", finite, finite)), nan, inf

    def _moved(self, floats: Floats, before: Floats) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            difference = np.subtract(floats, before, out=self._difference[: floats.size])
        return self._power(difference)[0]

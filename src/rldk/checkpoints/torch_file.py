"""Reads files of `torch.save` without torch, and without running their pickle.

Owns the container: the places of the pickle and of each tensor's bytes. Invariant: no two parts share a byte,
each lies within the file, and the bytes of tensors stay on disk.

The format is that of torch/serialization.py: an uncompressed zip with `*/data.pkl`, whose persistent ids
`("storage", type, key, location, elements)` name the files `*/data/{key}`, and with `*/byteorder`.
"""

import io
import os
import struct
import zipfile
import zlib
from typing import Any, NamedTuple

from rldk.checkpoints.pickles import TensorStandIn, read_pickle
from rldk.checkpoints.safe_open import TimeLimit, UnreadableError
from rldk.checkpoints.safetensors import BITS, Entry

__all__ = ["TorchFile", "open_torch"]

MAX_PICKLE = 16_000_000
"""Bytes of `data.pkl`, about 220 a parameter of an Adam; a larger one would hold the interpreter too long."""
MAX_DIRECTORY = 20_000_000
"""Bytes of the directory of the zip, about 63 a tensor; parsed, it takes ten times as much."""


class TorchFile(NamedTuple):
    """The content of a file."""

    content: Any
    """Containers, numbers, texts, and stand-ins."""
    storages: dict[str, tuple[int, int]]
    """Key of a storage -> offset and number of its bytes in the file."""

    def entry(self, tensor: TensorStandIn) -> Entry | None:
        """The bytes of a tensor whose elements are contiguous; None if the file lacks them."""
        begin, size = self.storages.get(tensor.key, (0, -1))
        width = BITS[tensor.dtype] // 8
        start, length = tensor.offset * width, tensor.elements * width
        if start < 0 or length < 0 or start + length > size:
            return None
        first = begin + start
        return Entry(tensor.key, tensor.dtype, (tensor.elements,), tensor.elements, first, first + length)


def open_torch(fd: int, limit: TimeLimit | None = None) -> TorchFile:
    """Read an open file, except the bytes of its tensors.

    Args:
        fd: the file.
        limit: limit of the time; None: one that begins now.

    Raises:
        UnreadableError: it cannot be examined.
        OSError: the disk cannot read it.
    """
    if os.pread(fd, 2, 0) != b"PK":
        # before torch 1.6: a bare pickle, which begins with its protocol
        old = os.pread(fd, 1, 0) == b"\x80"
        reason = "it is in the format before torch 1.6" if old else "it is no file of torch.save"
        raise UnreadableError(reason, damaged=not old)
    limit = limit or TimeLimit()
    try:
        with zipfile.ZipFile(_BoundedReader(fd)) as archive:
            parts = archive.infolist()
    except (UnreadableError, OSError):
        raise
    except Exception as error:  # zipfile raises struct.error, UnicodeDecodeError, OverflowError and its own
        reason = f"cut short, or no zip ({error})"[:200]
        raise UnreadableError(reason, damaged=True) from None
    limit.check()
    return _read(fd, parts, limit)


def _read(fd: int, parts: list[zipfile.ZipInfo], limit: TimeLimit) -> TorchFile:
    places = _places(fd, parts)
    pickled, storages = None, {}
    for part in parts:
        begin = places[part.filename]
        name = part.filename.partition("/")[2]
        if name == "data.pkl":
            pickled = part
        elif name == "byteorder" and os.pread(fd, min(part.file_size, 8), begin)[:3] == b"big":
            raise UnreadableError("its numbers are big-endian", damaged=False)
        elif name.startswith("data/"):
            storages[name.removeprefix("data/")] = begin, part.file_size
    if pickled is None:
        raise UnreadableError("its data.pkl is missing", damaged=True)
    if pickled.file_size > MAX_PICKLE:
        reason = f"its pickle of {pickled.file_size:,} bytes is too large to examine"
        raise UnreadableError(reason, damaged=False)
    raw = os.pread(fd, pickled.file_size, places[pickled.filename])
    if zlib.crc32(raw) != pickled.CRC:
        raise UnreadableError("its pickle cannot be read (the checksum is wrong)", damaged=True)
    return TorchFile(read_pickle(raw, limit), storages)


def _places(fd: int, parts: list[zipfile.ZipInfo]) -> dict[str, int]:
    """The name of each part -> the offset of its bytes.

    Raises:
        UnreadableError: parts share bytes or a name, lie outside the file, or are compressed.
    """
    size, end, places = os.fstat(fd).st_size, 0, {}
    for part in sorted(parts, key=lambda part: part.header_offset):
        if part.compress_type != zipfile.ZIP_STORED or part.compress_size != part.file_size:
            raise UnreadableError("its parts are compressed, which torch does not do", damaged=False)
        if part.filename in places or part.header_offset < end:
            raise UnreadableError("parts of its zip overlap or have one name", damaged=True)
        begin = _begin(fd, part, size)
        end = begin + part.file_size
        if end > size:
            raise UnreadableError("cut short: a tensor ends behind the end of the file", damaged=True)
        places[part.filename] = begin
    return places


def _begin(fd: int, info: zipfile.ZipInfo, size: int) -> int:
    """The offset of a part's bytes: after its local header (APPNOTE 4.3.7), whose padding aligns them."""
    raw = os.pread(fd, 30, info.header_offset) if info.header_offset < size else b""
    if len(raw) < 30 or raw[:4] != b"PK\x03\x04":
        raise UnreadableError("cut short, or its parts are not where its directory says", damaged=True)
    name, extra = struct.unpack("<HH", raw[26:30])
    return int(info.header_offset + 30 + name + extra)


class _BoundedReader(io.RawIOBase):
    """Gives `zipfile` a file in pieces of a bounded size.

    Closing it leaves the descriptor open.
    """

    def __init__(self, fd: int) -> None:
        self._fd, self._size, self._at = fd, os.fstat(fd).st_size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max((0, self._at, self._size)[whence] + offset, 0)
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = self._size - self._at
        if left <= 0:
            return b""
        size = left if size is None or size < 0 else min(size, left)
        if size > MAX_DIRECTORY:
            raise UnreadableError("the directory of its zip is too large to examine", damaged=False)
        raw = os.pread(self._fd, size, self._at)
        self._at += len(raw)
        return raw

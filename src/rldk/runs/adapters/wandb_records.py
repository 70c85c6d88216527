"""Reads the records of a `.wandb` file, which lie in blocks as chunks, as in LevelDB's log.

Invariant: it yields a record only if the record is complete and its checksums match; `on_bad` gets all
others. Damage costs only the rest of its block.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from rldk.runs.adapters.base import HEAD_BYTES, MAX_RATIO, OnBad, open_binary
from rldk.runs.line_reader import BadLine

__all__ = ["BLOCK", "MAGIC", "records"]

MAGIC = b":W&B\xe1\xbe\x00"
BLOCK = 1 << 15
CHUNK = struct.Struct("<IHB")
BROKEN, FULL, FIRST, MIDDLE, LAST = range(5)
KINDS = (FULL, FIRST, MIDDLE, LAST)
MAX_RECORD = 1 << 26


def records(path: Path, on_bad: OnBad) -> Iterator[tuple[int, bytes]]:
    """Yields complete records with their numbers; damage costs the rest of its block."""
    number = 1
    parts: bytearray | None = None
    for kind, data in _chunks(path):
        if kind in (FULL, FIRST):
            parts = bytearray()
        if kind == BROKEN or (parts is not None and len(parts) + len(data) > MAX_RECORD):
            on_bad(BadLine(path, number, data.decode() if kind == BROKEN else "a record beyond all reason"))
            parts = None
        if parts is None:
            continue  # the rest of a record that is lost
        parts += data
        if kind in (FULL, LAST):
            yield number, bytes(parts)
            number, parts = number + 1, None
    if parts is not None:
        on_bad(BadLine(path, number, "the file is cut short here"))


def _chunks(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yields each chunk with its kind; with `BROKEN` comes the reason.

    Each begins with a head: its checksum, its length, and which part of a record it is.
    """
    left = path.stat().st_size * MAX_RATIO + HEAD_BYTES
    with open_binary(path) as file:
        try:
            block, at = file.read(BLOCK), len(MAGIC)
            if block and not block.startswith(MAGIC):
                yield BROKEN, b"this is no .wandb file"
                return
            while block and left > 0:
                left -= len(block)
                while any(block[at : at + CHUNK.size]):  # zeros are room that was not written to
                    head, at = block[at : at + CHUNK.size], at + CHUNK.size
                    checksum, length, kind = CHUNK.unpack(head.ljust(CHUNK.size, b"\0"))
                    data = block[at : at + length]
                    if zlib.crc32(data, zlib.crc32(bytes([kind]))) != checksum or kind not in KINDS:
                        yield BROKEN, b"the file is cut short or damaged here"
                        break
                    yield kind, data
                    at += length
                block, at = file.read(BLOCK), 0
        except (EOFError, OSError, zlib.error) as error:
            yield BROKEN, f"the file is cut short or damaged here: {error}".encode()

"""Reads the header of a safetensors file: its tensors, and whether all of their bytes exist.

Invariant: it checks every number against the size of the file. Whatever the bytes, the result is a `Header`,
at worst one with a fault.

The format is that of huggingface/safetensors, "Format": eight bytes with the little-endian length N of the
header, N bytes of JSON, then the tensors without gaps.
"""

import os
from itertools import pairwise
from typing import NamedTuple

import msgspec

__all__ = ["BITS", "Entry", "Header", "read_header"]

MAX_HEADER = 100_000_000
"""Bytes of a header that the safetensors library accepts (MAX_HEADER_SIZE of its tensor.rs)."""
MAX_EXAMINED = 16_000_000
"""Bytes of a header up to which rldk examines it: some 150,000 tensors, parsed several times the size."""
BITS = {
    "F64": 64,
    "F32": 32,
    "F16": 16,
    "BF16": 16,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "F8_E4M3FNUZ": 8,
    "F8_E5M2FNUZ": 8,
    "F6_E2M3": 6,
    "F6_E3M2": 6,
    "F4": 4,
    "C64": 64,
    "I64": 64,
    "I32": 32,
    "I16": 16,
    "I8": 8,
    "U64": 64,
    "U32": 32,
    "U16": 16,
    "U8": 8,
    "BOOL": 8,
}
"""Bits of an element, by the `Dtype` of safetensors' tensor.rs."""


class Entry(NamedTuple):
    """One tensor of a file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    elements: int
    start: int
    """Offset of its first byte in the file."""
    end: int
    """Offset after its last byte."""


class Header(msgspec.Struct, frozen=True):
    """The content of a file, by its header."""

    entries: list[Entry] = []
    """Its readable tensors, in the order of their bytes. No two share a byte."""
    fault: str | None = None
    """The fault of the file, as text."""
    unread: str | None = None
    """Why it was not examined although it may be good, as text."""


class _TensorInfo(msgspec.Struct):
    """A tensor, as in the JSON."""

    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_header(fd: int, size: int) -> Header:
    """The header of an open file.

    Args:
        fd: the file.
        size: its bytes.

    Raises:
        OSError: the disk cannot read it.
    """
    length = int.from_bytes(os.pread(fd, 8, 0), "little")
    fault = _wrong_length(length, size)
    if fault is not None:
        return Header(fault=fault)
    if length > MAX_EXAMINED:
        return Header(unread=f"its header of {length:,} bytes is too large to examine")
    raw = os.pread(fd, length, 8)
    if len(raw) < length:
        return Header(fault="cut short in its header while it was read")
    try:
        entries_by_name = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
        entries_by_name.pop("__metadata__", None)
        entries = [
            _entry(name, msgspec.json.decode(one, type=_TensorInfo), 8 + length)
            for name, one in entries_by_name.items()
        ]
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        return Header(fault=f"wrong header: {_short(error)}")
    entries.sort(key=lambda entry: (entry.start, entry.end))
    return _checked(entries, 8 + length, size)


def _wrong_length(length: int, size: int) -> str | None:
    """The fault of a header's length in a file of this size, as text."""
    if size < 8:
        return f"cut short: {size} bytes, where the length of its header alone takes 8"
    if length > MAX_HEADER:
        return f"wrong header: its length of {length:,} bytes is above the limit of 100 MB"
    if length > size - 8:
        return f"cut short in its header: {size:,} bytes of at least {length + 8:,}"
    return None


def _entry(name: str, info: _TensorInfo, begin: int) -> Entry:
    """A tensor of the header.

    Raises:
        ValueError: its entry in the header is impossible.
    """
    first, last = info.data_offsets
    elements = 1
    for extent in info.shape:
        if extent < 0:
            raise ValueError(f"{name} has a negative shape")
        elements = min(elements * extent, 1 << 62)  # a hostile shape would take long to multiply
    bits = BITS.get(info.dtype)
    if first < 0 or last < first:
        raise ValueError(f"{name} ends before it begins")
    if bits is not None and elements * bits != (last - first) * 8:
        raise ValueError(f"{name} has {last - first:,} bytes, but {info.dtype} {info.shape}"[:200])
    return Entry(name, info.dtype, tuple(info.shape), elements, begin + first, begin + last)


def _checked(entries: list[Entry], begin: int, size: int) -> Header:
    """The header of these tensors, with the faults of their offsets."""
    end = max((entry.end for entry in entries), default=begin)
    gaps = (after.name for before, after in pairwise(entries) if after.start != before.end)
    gap = entries[0].name if entries and entries[0].start != begin else next(gaps, None)
    if gap is not None:  # overlapping tensors would be read again and again
        return Header(fault=f"wrong header: the bytes of {gap[:100]} do not follow those before them")
    whole = [entry for entry in entries if entry.end <= size]
    if end > size:
        lost = len(entries) - len(whole)
        return Header(whole, f"cut short: {size:,} bytes of {end:,}, {lost} of {len(entries)} tensors lost")
    if end < size:
        return Header(whole, f"{size - end:,} trailing bytes behind the last tensor")
    return Header(whole)


def _short(error: Exception) -> str:
    return str(error)[:200] or type(error).__name__

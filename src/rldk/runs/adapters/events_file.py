"""Reads a TensorBoard events file: TFRecords that hold events, which hold scalars.

Invariant: it yields each scalar once, in order; `on_bad` gets each record that is incomplete or damaged.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rldk.errors import MissingDependencyError
from rldk.runs.adapters.base import HEAD_BYTES, MAX_RATIO, OnBad, open_binary
from rldk.runs.line_reader import BadLine

__all__ = ["scalars"]

MAX_RECORD = 1 << 26
"""Bytes of a record; a longer record is damaged, or holds no scalar."""
CHECKED = 1 << 16
"""Bytes; a longer record is a histogram or an image, whose checksum Python computes slowly."""


def scalars(path: Path, on_bad: OnBad) -> Iterator[tuple[int, float | None, str, float]]:
    """Yields step, time, tag and value of each scalar in a file."""
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto.event_pb2 import Event
    except ImportError as error:
        raise MissingDependencyError("Reading TensorBoard events", "tensorboard") from error
    for number, data in _records(path, on_bad):
        try:
            event = Event.FromString(data)
        except DecodeError as error:
            on_bad(BadLine(path, number, f"a record that is no event: {error}"))
            continue
        wall_time = event.wall_time if math.isfinite(event.wall_time) else None
        for value in event.summary.value:
            number_of_value = _number(value)
            if number_of_value is not None:
                yield event.step, wall_time, value.tag, number_of_value


def _number(value: Any) -> float | None:
    """The number of a scalar, in the older or the newer encoding; None for text, histograms, images."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    # A few bytes may claim a shape of any size, and make_ndarray would allocate it.
    if kind != "tensor" or any(dim.size != 1 for dim in value.tensor.tensor_shape.dim):
        return None
    from tensorboard.util.tensor_util import make_ndarray

    try:
        array = make_ndarray(value.tensor)
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return float(array.item()) if array.size == 1 and array.dtype.kind in "fiub" else None


def _records(path: Path, on_bad: OnBad) -> Iterator[tuple[int, bytes]]:
    """Yields the numbered records of a TFRecord file: length, its checksum, data, their checksum."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    bound = path.stat().st_size * MAX_RATIO + HEAD_BYTES
    number, taken = 1, 0
    with open_binary(path) as file:
        try:
            while head := file.read(12):
                length, checksum = struct.unpack("<QI", head) if len(head) == 12 else (0, 0)
                taken += length
                if len(head) == 12 and (masked_crc32c(head[:8]) != checksum or length > MAX_RECORD):
                    on_bad(BadLine(path, number, "the file is damaged here; the rest is left"))
                    return
                data = file.read(length + 4)
                if len(data) < length + 4 or taken > bound:
                    on_bad(BadLine(path, number, "the file is cut short here"))
                    return
                data, tail = data[:length], data[length:]
                if length <= CHECKED and masked_crc32c(data) != int.from_bytes(tail, "little"):
                    on_bad(BadLine(path, number, "a damaged record: its checksum is another"))
                else:
                    yield number, data
                number += 1
        except (EOFError, OSError, zlib.error) as error:
            on_bad(BadLine(path, number, f"the file is cut short or damaged here: {error}"))

"""W&B's local files as rows: the `.wandb` record of a run, and `wandb-summary.json`.

Invariant: what the trainer logged at a step is one row for each phase; what else was logged before the
trainer's next step joins its row, the last of each key, and `on_bad` is told how many were not the last.
"""

import json
import math
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rldk.errors import AmbiguousRunError, MissingDependencyError
from rldk.event import Phase
from rldk.runs.adapters.base import (
    HEAD_BYTES,
    MAX_LINE,
    MAX_RATIO,
    Adapter,
    OnBad,
    Probe,
    Row,
    open_binary,
)
from rldk.runs.adapters.tensorboard import OpenRow, StepRows, trainer_key
from rldk.runs.records import BadLine

__all__ = ["ADAPTERS", "Record", "logged_rows"]

STEP = "train/global_step"
"""The trainer's step; while it is defined as the axis, W&B copies its last value to every record."""
MAGIC = b":W&B\xe1\xbe\x00"
BLOCK = 1 << 15
CHUNK = struct.Struct("<IHB")
BROKEN, FULL, FIRST, MIDDLE, LAST = range(5)
KINDS = (FULL, FIRST, MIDDLE, LAST)
MAX_RECORD = 1 << 26


class Record(NamedTuple):
    """What one call of `wandb.log` or `trackio.log` logged."""

    number: int
    """Its number in the log."""
    values: dict[str, Any]
    """The logged values."""
    step: int | None
    """The logger's own counter."""
    wall_time: float | None


class _Rows(StepRows):
    """The rows of a trainer, which what else is logged at a step joins."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced = 0
        self._joined: set[str] = set()

    def join(self, wall_time: float | None, values: Mapping[str, Any]) -> None:
        """Take values that are not the trainer's; the trainer's of the same name stay."""
        row = self.open.get("train") or next(iter(self.open.values()), None)
        row = row or self.open.setdefault("train", OpenRow(wall_time, {}))
        for key, value in values.items():
            name = key
            if key in row.values and key not in self._joined:
                if row.values[key] == value:
                    continue
                name = f"{key}#2"
            self.replaced += name in row.values and row.values[name] != value
            row.values[name] = value
            self._joined.add(name)

    def close(self) -> list[Row]:
        self._joined = set()
        return super().close()


def logged_rows(
    path: Path, records: Callable[[OnBad], Iterator[Record]], closing: Mapping[str, Any], on_bad: OnBad
) -> Iterator[Row]:
    """The rows of what was logged through transformers' callback or by hand.

    Args:
        path: the log.
        records: reads it; called twice.
        closing: the summary of the training, filled by the time that the records end.
        on_bad: takes what is lost.
    """
    ignored: list[BadLine] = []
    trainers = any(STEP in record.values for record in records(ignored.append))
    rows, step, number = _Rows(), 0, 1
    for number, values, counter, wall_time in records(on_bad):  # noqa: B007 - the last one counts
        own = _whole(values.pop(STEP, None))
        step = own if own is not None else step
        yield from rows.move(step if trainers else counter)
        parts, others = _by_phase(values, lone_epoch="summary" if trainers else "train")
        for phase, part in parts.items():
            yield from rows.add(wall_time, phase, part)
        if others and trainers:
            rows.join(wall_time, others)
        elif others:
            yield from rows.add(wall_time, "train", others)
    if "train_runtime" in closing:
        yield from rows.add(None, "summary", closing)
    yield from rows.close()
    if rows.replaced:
        reason = f"{rows.replaced:,} values logged anew before the trainer's next step: the last is kept"
        on_bad(BadLine(path, number, reason))


def _by_phase(
    values: Mapping[str, Any], lone_epoch: Phase
) -> tuple[dict[Phase | None, dict[str, Any]], dict[str, Any]]:
    """The trainer's values by phase, under the trainer's keys, and the others.

    The epoch goes with the rest of its record. Where it is alone, the callback has put the rest of the
    trainer's closing summary elsewhere.
    """
    parts: dict[Phase | None, dict[str, Any]] = {}
    others: dict[str, Any] = {}
    for tag, value in values.items():
        key, phase = trainer_key(tag)
        if tag.startswith(("train/", "eval/", "test/")) or phase != "train":
            parts.setdefault(phase, {})[key] = value
        else:
            others[key] = value
    if epoch := parts.pop(None, None):
        if not parts and others:
            others.update(epoch)
        else:
            parts.setdefault(next(reversed(parts), lone_epoch), {}).update(epoch)
    return parts, others


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _time(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    if path.is_dir():
        files = sorted(path.glob("*.wandb"))
        if not files:
            on_bad(BadLine(path, 1, "the folder holds no .wandb file"))
            return
        if len(files) > 1:
            raise AmbiguousRunError(path, [str(file) for file in files])
        path = files[0]
    closing: dict[str, Any] = {}
    yield from logged_rows(path, lambda refuse: _history(path, closing, refuse), closing, on_bad)


def _history(path: Path, closing: dict[str, Any], on_bad: OnBad) -> Iterator[Record]:
    """The history; `closing` becomes what stands in the run's summary alone.

    Left out are W&B's own keys, which begin with `_`, and media: `_type` says what they are.
    """
    try:
        from google.protobuf.message import DecodeError
        from wandb.proto import wandb_internal_pb2
    except ImportError as error:
        raise MissingDependencyError("Reading a .wandb file", "wandb", "wandb") from error
    seen: set[str] = set()
    for number, data in _records(path, on_bad):
        try:
            record = wandb_internal_pb2.Record.FromString(data)
            kind = record.WhichOneof("record_type")
            if kind == "summary":
                closing.update(_items(record.summary.update))
            items = _items(record.history.item) if kind == "history" else {}
        except (DecodeError, ValueError, RecursionError) as error:
            on_bad(BadLine(path, number, f"a record that cannot be read: {error}"))
            continue
        if items:
            times = _time(items.get("_timestamp")), _time(items.get("_runtime"))
            values = _metrics(items)
            seen.update(values)
            wall_time = times[0] if times[0] is not None else times[1]
            yield Record(number, values, _whole(items.get("_step")), wall_time)
    for key in [key for key in closing if key in seen or key not in _metrics(closing)]:
        del closing[key]


def _items(items: Any) -> dict[str, Any]:
    """Keys and values of a history or summary record; a nested key is joined by `/`."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _metrics(items: Mapping[str, Any]) -> dict[str, Any]:
    media = {key.removesuffix("/_type") for key in items if key.endswith("/_type")}
    return {
        key: value
        for key, value in items.items()
        if not key.startswith("_")
        and not (isinstance(value, dict) and "_type" in value)
        and not (media and key.rpartition("/")[0] in media)
    }


def _records(path: Path, on_bad: OnBad) -> Iterator[tuple[int, bytes]]:
    """The records with their numbers, put together from chunks; damage costs what follows in its block."""
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
    """The chunks, each with its kind; a reason with `BROKEN`.

    They lie in blocks, behind a head: checksum, length, and which part of a record it is.
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


def _summary_rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """The last value of each key, as one row: a summary where the trainer closed, else a train record."""
    with open_binary(path) as file:
        try:
            items = json.loads(file.read(MAX_LINE))
        except (EOFError, OSError, zlib.error, ValueError, RecursionError) as error:
            on_bad(BadLine(path, 1, f"the file is cut short or damaged: {error}"))
            return
    if not isinstance(items, dict):
        on_bad(BadLine(path, 1, "this is no summary: it holds no keys"))
        return
    rows = _Rows()
    values = _metrics(items)
    own, counter = _whole(values.pop(STEP, None)), _whole(items.get("_step"))
    rows.move(own if own is not None else counter)
    parts, others = _by_phase(values, lone_epoch="train")
    every = {key: value for part in parts.values() for key, value in part.items()}
    rows.add(_time(items.get("_runtime")), "train", every)
    rows.join(None, others)
    phase: Phase = "summary" if "train_runtime" in values else "train"
    for row in rows.close():
        if row.values:
            yield row._replace(phase=phase)


def _confidence(probe: Probe) -> float:
    if probe.is_dir:
        return 0.95 if any(probe.path.glob("*.wandb")) else 0.0
    empty = probe.name.endswith(".wandb") and not probe.head
    return 0.95 if empty or probe.head.startswith(MAGIC[:4]) else 0.0


def _summary_confidence(probe: Probe) -> float:
    if probe.is_dir or not probe.text.lstrip().startswith("{"):
        return 0.0
    named = probe.name == "wandb-summary.json"
    return 0.95 if named or ('"_wandb"' in probe.text and '"_runtime"' in probe.text) else 0.0


ADAPTERS = (
    Adapter(
        name="wandb",
        what="a W&B run on disk: run-*.wandb, or the folder that holds it",
        confidence=_confidence,
        rows=_rows,
    ),
    Adapter(
        name="wandb-summary",
        what="wandb-summary.json: the last value of each key",
        confidence=_summary_confidence,
        rows=_summary_rows,
    ),
)

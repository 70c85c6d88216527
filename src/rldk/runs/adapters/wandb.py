"""Reads the `.wandb` record that W&B keeps of a run on disk.

Invariant: everything is in a row, except media and W&B's own keys, which begin with `_`.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rldk.errors import AmbiguousRunError, MissingDependencyError
from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row
from rldk.runs.adapters.fields import take
from rldk.runs.adapters.log_values import seconds, whole_number
from rldk.runs.adapters.tracker_rows import TrackerCall, logged_rows, without_media
from rldk.runs.adapters.wandb_records import MAGIC, records
from rldk.runs.line_reader import BadLine

__all__ = ["ADAPTER", "flat", "own_metrics"]


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


def _history(path: Path, closing: dict[str, Any], on_bad: OnBad) -> Iterator[TrackerCall]:
    """Yields the history; `closing` gets the values that only the run's summary holds."""
    try:
        from google.protobuf.message import DecodeError
        from wandb.proto import wandb_internal_pb2
    except ImportError as error:
        raise MissingDependencyError("Reading a .wandb file", "wandb") from error
    seen: set[str] = set()
    for number, data in records(path, on_bad):
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
            values = own_metrics(items)
            seen.update(values)
            wall_time = take(items, ("_timestamp", "_runtime"), seconds)
            yield TrackerCall(number, values, whole_number(items.get("_step")), wall_time)
    alone = {key: value for key, value in own_metrics(closing).items() if key not in seen}
    closing.clear()
    closing.update(alone)


def _items(items: Any) -> dict[str, Any]:
    """Keys and values of a history or summary record; `/` joins nested keys."""
    return flat({item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items})


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values without nesting, as wandb 0.17 writes them; media stay whole."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict) and "_type" not in value:
            found.update({f"{key}/{inner}": item for inner, item in flat(value).items()})
        else:
            found[key] = value
    return found


def own_metrics(items: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the user logged: no media, and no keys of W&B."""
    return {key: value for key, value in without_media(items).items() if not key.startswith("_")}


def _confidence(probe: Probe) -> float:
    if probe.is_dir:
        return 0.95 if any(probe.path.glob("*.wandb")) else 0.0
    empty = probe.name.endswith(".wandb") and not probe.head
    return 0.95 if empty or probe.head.startswith(MAGIC[:4]) else 0.0


ADAPTER = Adapter(
    name="wandb",
    what="a W&B run on disk: run-*.wandb, or the folder that holds it",
    confidence=_confidence,
    rows=_rows,
)

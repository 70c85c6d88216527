"""Reads logs of one JSON object a line: of LLaMA-Factory, ms-swift, verl's file logger, and any other tool.

Invariant: each line becomes a row or goes to `on_bad`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from rldk.metrics.dialects import phase_of
from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row, text_lines
from rldk.runs.adapters.fields import Rows, has_metric
from rldk.runs.adapters.log_values import is_number
from rldk.runs.line_reader import BadLine

__all__ = ["ADAPTER"]

CONTAINERS = ("metrics", "data", "logs")
OWN_KEYS = {"model_info", "rng", "data_slice"}
HEADERS = ("header", "config", "meta", "metadata")
PEEKED = 200
"""Lines that show whether a log has records with a loss."""

_LOSS = re.compile(r"(?:.*[/_])?loss")


def _parsed(line: str) -> dict[str, Any] | str:
    """The object of a line, or the reason why it is unreadable."""
    try:
        record = json.loads(line)
    except RecursionError:
        return "no JSON that can be read: it is nested too deep"
    except ValueError as error:
        return f"no JSON: {error}"[:200]
    return record if isinstance(record, dict) else "JSON, but no object"


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """A record with the values of its containers at the top level."""
    flat = {key: value for key, value in record.items() if not _is_container(key, value)}
    for name in CONTAINERS:
        if _is_container(name, record.get(name)):
            for key, value in record[name].items():
                flat[f"{name}/{key}" if key in flat else key] = value
    return flat


def _is_container(key: str, value: Any) -> bool:
    return key in CONTAINERS and isinstance(value, dict)


def _keys_with_loss(path: Path) -> set[str]:
    """The keys of the first records with a loss."""
    keys: set[str] = set()
    ignored: list[BadLine] = []
    for _, line in islice(text_lines(path, ignored.append), PEEKED):
        record = _parsed(line)
        if isinstance(record, dict):
            values = Rows().row(_flat(record)).values
            if len(values) < 1000 and any(_LOSS.fullmatch(key) for key in values):
                keys.update(values)
    return keys


def _refusal(record: dict[str, Any], row: Row, known: set[str]) -> str | None:
    """Why a record belongs to no step; None if it belongs to one."""
    if row.phase == "summary":
        return None
    if record.get("type") in HEADERS:
        return "a header, not the record of a step"
    if not has_metric(row.values):
        return "no metric in it"
    if known and row.phase is None and known.isdisjoint(row.values) and _is_sample(row.values):
        return "about one sample, as it seems: a text, and no key of the records that have a loss"
    return None


def _is_sample(values: Mapping[str, Any]) -> bool:
    """Whether one of the values is a text, and none is of an evaluation or a summary."""
    texts = any(isinstance(value, str) and not is_number(value) for value in values.values())
    return texts and phase_of(values) == "train"


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    known = _keys_with_loss(path)
    rows = Rows()
    for number, line in text_lines(path, on_bad):
        record = _parsed(line)
        if isinstance(record, str):
            on_bad(BadLine(path, number, record))
            continue
        row = rows.row(_flat(record))
        refusal = _refusal(record, row, known)
        if refusal:
            on_bad(BadLine(path, number, refusal))
        else:
            yield row


def _confidence(probe: Probe) -> float:
    lines = probe.lines
    if not lines or not lines[0].lstrip().startswith("{"):
        return 0
    records = [_parsed(line) for line in lines]
    if isinstance(records[-1], str) and len(records) > 1:
        records.pop()  # it may be cut
    objects = [record for record in records if isinstance(record, dict)]
    if not objects:
        # A first line longer than what is looked at.
        return 0.5 if len(lines) == 1 and probe.name.endswith((".jsonl", ".ndjson")) else 0
    if any(record.keys() >= OWN_KEYS for record in objects) or _is_document(probe, objects):
        return 0
    numeric = sum(_has_number(_flat(record)) for record in objects)
    return 0.9 if len(objects) >= 0.9 * len(records) and 2 * numeric >= len(objects) else 0


def _has_number(values: dict[str, Any]) -> bool:
    inner = [item for value in values.values() if isinstance(value, dict) for item in value.values()]
    return any(map(is_number, (*values.values(), *inner)))


def _is_document(probe: Probe, objects: list[dict[str, Any]]) -> bool:
    """Whether the file is one JSON document on one line, such as a W&B summary or a trainer's state."""
    alone = len(probe.lines) == 1 and (probe.name.endswith(".json") or "log_history" in objects[0])
    return alone or "_wandb" in objects[0]


ADAPTER = Adapter(
    name="jsonl",
    what="one JSON object a line: LLaMA-Factory, ms-swift, verl's file logger, or any",
    confidence=_confidence,
    rows=_rows,
)

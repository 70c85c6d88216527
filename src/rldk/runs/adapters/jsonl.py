"""Owns logs of one JSON object a line, and what in a flat record is its step, its time and its phase.

Reads LLaMA-Factory's trainer_log.jsonl, ms-swift's logging.jsonl, verl's file logger and any other.
Invariant: each line is a row or goes to `on_bad`; of a record only how far the run is (`PROGRESS`) is
left out, and the keys that became the row's step, time and phase.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from rldk.event import Phase
from rldk.metrics.dialects import phase_of
from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row, text_lines
from rldk.runs.records import BadLine

__all__ = ["ADAPTER", "STEP_KEYS", "Rows", "has_metric", "is_number", "seconds", "whole_number"]

GLOBAL_STEP = "train/global_step"
"""The optimizer step in a W&B history of transformers; W&B's own step counts its calls."""
WANDB_STEPS = ("Step", "_step")
STEP_KEYS = (
    *(GLOBAL_STEP, "global_step", "global_step/max_steps", "step", "current_steps", "steps"),
    *("iteration", "iter", "time/total_timesteps", *WANDB_STEPS),
)
"""The keys of steps; of several the first one holds, and the others stay as metrics."""
TIME_KEYS = (
    *("wall_time", "timestamp", "_timestamp", "ts", "time", "elapsed_time", "time/time_elapsed"),
    "_runtime",
)
PHASE_KEYS = ("phase", "split", "mode", "type", "event")
PROGRESS = ("total_steps", "max_steps", "percentage", "elapsed_time", "remaining_time")
"""How far the run is: no metrics, and left out."""
WANDB_OWN = (*WANDB_STEPS, "_runtime", "_timestamp")
"""Left out too: a `_runtime` would make an evaluation of any record."""
CONTAINERS = ("metrics", "data", "logs")
OWN_KEYS = {"model_info", "rng", "data_slice"}
HEADERS = ("header", "config", "meta", "metadata")
PEEKED = 200
"""Lines that tell whether a log has records of a loss."""

_NAMES: dict[Phase, tuple[str, ...]] = {
    "train": ("train", "training"),
    "eval": ("eval", "evaluation", "val", "valid", "validation", "test"),
    "summary": ("summary", "footer"),
}
_PHASES = {name: phase for phase, names in _NAMES.items() for name in names}
_CLOCK = re.compile(r"(?:(\d{1,6}) days?, ?)?(?:(\d{1,9}):)?(\d{1,9}):(\d{1,9}(?:\.\d{1,9})?)")
_UNITS = re.compile(r"(?:(\d{1,6})d ?)?(?:(\d{1,9})h ?)?(?:(\d{1,9})m ?)?(?:(\d{1,9}(?:\.\d{1,9})?)s)?")
_LOSS = re.compile(r"(?:.*[/_])?loss")


def whole_number(value: Any) -> int | None:
    """A step: `12`, `12.0`, `"12"` or `"12/438"`; None for anything else."""
    if type(value) is not int:
        text = value.partition("/")[0] if isinstance(value, str) else value
        number = _float(text)
        if number is None or not number.is_integer():
            return None
        value = int(number)
    return value if 0 <= value < 1 << 53 else None


def seconds(value: Any) -> float | None:
    """A time: seconds, ISO 8601, `1 day, 0:01:03` or `1m 42s`; None for anything else."""
    number = _float(value)
    if number is None and isinstance(value, str):
        number = _duration(value.strip()) if len(value) < 100 else None
    if number is None or not 0 <= number < math.inf:
        return None
    # No run took this many seconds, nor will be in that year: the unit is a thousandth, or less.
    while number > 1e11:
        number /= 1000
    return number


def is_number(value: Any) -> bool:
    """Whether a value is a number, as such or as text."""
    return _float(value) is not None


def has_metric(values: Mapping[str, Any]) -> bool:
    """Whether a number, a missing number or a nested object is among the values."""
    return any(
        value is None or isinstance(value, bool | dict) or is_number(value) for value in values.values()
    )


class Rows:
    """Makes rows of the flat records of one log."""

    def __init__(self) -> None:
        self._global_step: int | None = None

    def row(self, record: Mapping[str, Any]) -> Row:
        """The row of a record, which is only read."""
        values = dict(record)
        step = self._step(values)
        time = _take(values, TIME_KEYS, seconds)
        phase = _take(values, PHASE_KEYS, _phase)
        for key in (*PROGRESS, *WANDB_OWN):
            values.pop(key, None)
        # ms-swift ends its log with the trainer's whole state.
        if phase is None and isinstance(values.get("log_history"), list):
            phase = "summary"
        return Row(values, step, time, phase)

    def _step(self, values: dict[str, Any]) -> int | None:
        has_global, has_own = GLOBAL_STEP in values, any(key in values for key in WANDB_STEPS)
        step: int | None = _take(values, STEP_KEYS, whole_number)
        if has_global and GLOBAL_STEP not in values:
            self._global_step = step
        elif has_own and self._global_step is not None:
            # What TRL logs between two steps has only W&B's own count, which runs ahead.
            return self._global_step
        return step


def _take(values: dict[str, Any], keys: tuple[str, ...], read: Any) -> Any:
    """What `read` makes of the first of `keys` that it can read, which is taken out; else None."""
    for key in keys:
        if key in values and (found := read(values[key])) is not None:
            del values[key]
            return found
    return None


def _phase(value: Any) -> Phase | None:
    return _PHASES.get(value.lower()) if isinstance(value, str) else None


def _float(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None


def _duration(text: str) -> float | None:
    match = _CLOCK.fullmatch(text) or _UNITS.fullmatch(text)
    if match and text:
        days, hours, minutes, rest = (float(group or 0) for group in match.groups())
        return ((days * 24 + hours) * 60 + minutes) * 60 + rest
    try:
        date = datetime.fromisoformat(text)
        # A time without a zone is read in one that has no summer.
        return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


def _parsed(line: str) -> dict[str, Any] | str:
    """The object of a line, or what is wrong with it."""
    try:
        record = json.loads(line)
    except RecursionError:
        return "no JSON that can be read: it is nested too deep"
    except ValueError as error:
        return f"no JSON: {error}"[:200]
    return record if isinstance(record, dict) else "JSON, but no object"


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    """A record with what is in its containers beside what is around them."""
    flat = {key: value for key, value in record.items() if not _is_container(key, value)}
    for name in CONTAINERS:
        if _is_container(name, record.get(name)):
            for key, value in record[name].items():
                flat[f"{name}/{key}" if key in flat else key] = value
    return flat


def _is_container(key: str, value: Any) -> bool:
    return key in CONTAINERS and isinstance(value, dict)


def _keys_with_loss(path: Path) -> set[str]:
    """The keys that stand beside a loss in the first lines."""
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
    """Why a record is none of a step; None if it is one."""
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
    """Whether the values hold a text, and are of no evaluation or summary."""
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
    """Whether this is one JSON document that stands on one line: a W&B summary, a trainer's state."""
    alone = len(probe.lines) == 1 and (probe.name.endswith(".json") or "log_history" in objects[0])
    return alone or "_wandb" in objects[0]


ADAPTER = Adapter(
    name="jsonl",
    what="one JSON object a line: LLaMA-Factory, ms-swift, verl's file logger, or any",
    confidence=_confidence,
    rows=_rows,
)

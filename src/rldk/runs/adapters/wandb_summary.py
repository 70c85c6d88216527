"""Reads `wandb-summary.json`, in which W&B keeps the last value of each key.

Invariant: everything is in the row, except media and W&B's own keys, which begin with `_`.
"""

import json
import zlib
from collections.abc import Iterator
from pathlib import Path

from rldk.runs.adapters.base import MAX_LINE, Adapter, OnBad, Probe, Row, open_binary
from rldk.runs.adapters.log_values import seconds, whole_number
from rldk.runs.adapters.step_rows import StepRows
from rldk.runs.adapters.trainer_keys import GLOBAL_STEP, by_phase
from rldk.runs.adapters.wandb import flat, own_metrics
from rldk.runs.line_reader import BadLine
from rldk.schema.event import Phase

__all__ = ["ADAPTER"]


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    """The last value of each key, as one row: a summary if the training ended, else a train record."""
    with open_binary(path) as file:
        try:
            items = json.loads(file.read(MAX_LINE))
            items = flat(items) if isinstance(items, dict) else None
        except (EOFError, OSError, zlib.error, ValueError, RecursionError) as error:
            on_bad(BadLine(path, 1, f"the file is cut short or damaged: {error}"))
            return
    if items is None:
        on_bad(BadLine(path, 1, "this is no summary: it holds no keys"))
        return
    rows = StepRows()
    values = own_metrics(items)
    own, counter = whole_number(values.pop(GLOBAL_STEP, None)), whole_number(items.get("_step"))
    rows.move(own if own is not None else counter)
    parts, others = by_phase(values, lone_epoch="train")
    every = {key: value for part in parts.values() for key, value in part.items()}
    rows.add(seconds(items.get("_runtime")), "train", every)
    rows.join(None, others)
    phase: Phase = "summary" if "train_runtime" in values else "train"
    for row in rows.close():
        if row.values:
            yield row._replace(phase=phase)


def _confidence(probe: Probe) -> float:
    if probe.is_dir or not probe.text.lstrip().startswith("{"):
        return 0.0
    named = probe.name == "wandb-summary.json"
    return 0.95 if named or ('"_wandb"' in probe.text and '"_runtime"' in probe.text) else 0.0


ADAPTER = Adapter(
    name="wandb-summary",
    what="wandb-summary.json: the last value of each key",
    confidence=_confidence,
    rows=_rows,
)

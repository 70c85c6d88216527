"""Builds rows from the calls of W&B or trackio, by transformers' callback or by the user's code.

Invariant: the trainer's values at a step are one row for each phase. Other values before the trainer's next
step join its row; the last value of each key is kept, and `on_bad` gets the number of replaced values.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rldk.runs.adapters.base import OnBad, Row
from rldk.runs.adapters.log_values import whole_number
from rldk.runs.adapters.step_rows import StepRows
from rldk.runs.adapters.trainer_keys import GLOBAL_STEP, by_phase
from rldk.runs.line_reader import BadLine

__all__ = ["TrackerCall", "logged_rows", "without_media"]


class TrackerCall(NamedTuple):
    """What one call of `wandb.log` or `trackio.log` logged."""

    number: int
    """Its number in the log."""
    values: dict[str, Any]
    """The logged values."""
    step: int | None
    """The logger's own counter."""
    wall_time: float | None


def logged_rows(
    path: Path, records: Callable[[OnBad], Iterator[TrackerCall]], closing: Mapping[str, Any], on_bad: OnBad
) -> Iterator[Row]:
    """Yields the rows of calls by transformers' callback or by the user's code.

    Args:
        path: the log.
        records: reads it; this function calls it twice.
        closing: the summary of the training, complete when the records end.
        on_bad: takes the values that are lost.
    """
    ignored: list[BadLine] = []
    trainers = any(GLOBAL_STEP in record.values for record in records(ignored.append))
    rows, step, number = StepRows(), 0, 1
    for number, values, counter, wall_time in records(on_bad):  # noqa: B007 - the last one counts
        own = whole_number(values.pop(GLOBAL_STEP, None))
        step = own if own is not None else step
        yield from rows.move(step if trainers else counter)
        parts, others = by_phase(values, lone_epoch="summary" if trainers else "train")
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


def without_media(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values without images, tables and files: these have a `_type` as a value or as a nested key."""
    media = {key.removesuffix("/_type") for key in values if key.endswith("/_type")}
    return {
        key: value
        for key, value in values.items()
        if not (isinstance(value, dict) and "_type" in value) and key.rpartition("/")[0] not in media
    }

"""Finds the step, the time and the phase of a flat record, and its progress keys.

Invariant: a record does not change. Its row lacks the keys of the step, the time, the phase, the progress
(`PROGRESS`), and W&B's own counters.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from rldk.runs.adapters.base import Row
from rldk.runs.adapters.log_values import is_number, seconds, whole_number
from rldk.runs.adapters.trainer_keys import GLOBAL_STEP
from rldk.schema.event import Phase

__all__ = ["STEP_KEYS", "Rows", "has_metric", "take"]

Value = TypeVar("Value")

WANDB_STEPS = ("Step", "_step")
"""The step of W&B, which counts its own calls."""
STEP_KEYS = (
    *(GLOBAL_STEP, "global_step", "global_step/max_steps", "step", "current_steps", "steps"),
    *("iteration", "iter", "time/total_timesteps", *WANDB_STEPS),
)
"""The keys of steps; if a record has several, the first is the step, and the others stay metrics."""
TIME_KEYS = (
    *("wall_time", "timestamp", "_timestamp", "ts", "time", "elapsed_time", "time/time_elapsed"),
    "_runtime",
)
PHASE_KEYS = ("phase", "split", "mode", "type", "event")
PROGRESS = ("total_steps", "max_steps", "percentage", "elapsed_time", "remaining_time")
"""Keys of the run's progress, which are no metrics: the row lacks them."""
WANDB_OWN = (*WANDB_STEPS, "_runtime", "_timestamp")
"""Keys that the row lacks too: `_runtime` would make any record an evaluation."""


_NAMES: dict[Phase, tuple[str, ...]] = {
    "train": ("train", "training"),
    "eval": ("eval", "evaluation", "val", "valid", "validation", "test"),
    "summary": ("summary", "footer"),
}
_PHASES = {name: phase for phase, names in _NAMES.items() for name in names}


def has_metric(values: Mapping[str, Any]) -> bool:
    """Whether any value is a number, a missing number or a nested object."""
    return any(
        value is None or isinstance(value, bool | dict) or is_number(value) for value in values.values()
    )


class Rows:
    """Builds rows from the flat records of one log."""

    def __init__(self) -> None:
        self._global_step: int | None = None

    def row(self, record: Mapping[str, Any]) -> Row:
        """The row of a record; the record does not change."""
        values = dict(record)
        step = self._step(values)
        time = take(values, TIME_KEYS, seconds)
        phase: Phase | None = take(values, PHASE_KEYS, _phase)
        for key in (*PROGRESS, *WANDB_OWN):
            values.pop(key, None)
        # ms-swift ends its log with the trainer's whole state.
        if phase is None and isinstance(values.get("log_history"), list):
            phase = "summary"
        return Row(values, step, time, phase)

    def _step(self, values: dict[str, Any]) -> int | None:
        has_global, has_own = GLOBAL_STEP in values, any(key in values for key in WANDB_STEPS)
        step = take(values, STEP_KEYS, whole_number)
        if has_global and GLOBAL_STEP not in values:
            self._global_step = step
        elif has_own and self._global_step is not None:
            # Between two steps, TRL logs with W&B's own count alone, which runs ahead.
            return self._global_step
        return step


def take(values: dict[str, Any], keys: Iterable[str], read: Callable[[Any], Value | None]) -> Value | None:
    """Removes the first of `keys` that `read` can read, and returns its value; None if there is none."""
    for key in keys:
        if key in values and (found := read(values[key])) is not None:
            del values[key]
            return found
    return None


def _phase(value: Any) -> Phase | None:
    return _PHASES.get(value.lower()) if isinstance(value, str) else None

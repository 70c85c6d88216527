"""Collects values that were logged one after another into one row for each step and phase.

Invariant: a row holds one step, one phase, and each key once. No value is lost, except if `join` replaces it
with another of its name; `replaced` counts these.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rldk.runs.adapters.base import Row
from rldk.schema.event import Phase

__all__ = ["StepRows"]


@dataclass
class _OpenRow:
    """A row to which values can still be added."""

    wall_time: float | None
    values: dict[str, Any]


class StepRows:
    """Collects values into one row for each step and phase.

    `move` sets the step, `add` takes the trainer's values, `join` takes the values of other loggers.
    """

    def __init__(self) -> None:
        self.replaced = 0
        """How many values that joined were replaced by others of their name."""
        self._open: dict[Phase, _OpenRow] = {}
        self._step: int | None = None
        self._phase: Phase = "train"
        self._joined: set[str] = set()

    def move(self, step: int | None) -> list[Row]:
        """Go to a step, and return the rows that this finishes."""
        if step == self._step:
            return []
        done = self.close()
        self._step, self._phase = step, "train"
        return done

    def add(self, wall_time: float | None, phase: Phase | None, values: Mapping[str, Any]) -> list[Row]:
        """Add values of this step, and return the rows that this finishes: a repeated key begins a new row.

        Without a phase, values belong to the last row, and may repeat unchanged.
        """
        row = self._open.get(phase or self._phase)
        done = []
        if row and any(key in row.values and (phase or row.values[key] != values[key]) for key in values):
            done = self.close()
        self._phase = phase or self._phase
        self._open.setdefault(self._phase, _OpenRow(wall_time, {})).values.update(values)
        return done

    def join(self, wall_time: float | None, values: Mapping[str, Any]) -> None:
        """Add values of other loggers to the trainer's row; its own values of the same name stay."""
        row = self._open.get("train") or next(iter(self._open.values()), None)
        row = row or self._open.setdefault("train", _OpenRow(wall_time, {}))
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
        """Finish and return the open rows, in the order in which they began."""
        done = [Row(row.values, self._step, row.wall_time, phase) for phase, row in self._open.items()]
        self._open, self._joined = {}, set()
        return done

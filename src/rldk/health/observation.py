"""One thing that a Monitor is told of a run: an Event as rules see it."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Literal

import msgspec

from rldk.schema.event import Event, Phase
from rldk.schema.run_info import RunEnd

__all__ = ["Observation", "ObservationKind"]

ObservationKind = Literal["log", "checkpoint", "stall", "rank", "end"]
"""An Event; the analysis of a checkpoint; what the watchdog noticed; a step of each rank, side by
side; how the run ended."""

MAX_VALUES = 2000
"""Metrics of a record that are judged, the first ones; real logs have a few dozen."""


class Observation(msgspec.Struct, frozen=True, gc=False):
    """Values that belong together. Rules only read it."""

    step: int
    """Optimizer steps done."""
    kind: ObservationKind
    """Where the values come from; an Event is a `log`."""
    values: Mapping[str, float | None]
    """By canonical name. NaN and infinities are in their places; None is what the trainer gave as None."""
    phase: Phase = "train"
    """Of a log: what was logged."""
    wall_time: float | None = None
    """Seconds since the run began."""
    resumed_from: int | None = None
    """On the first record after a resume: the checkpoint's step."""
    detail: Mapping[str, Any] = {}
    """Of what is no log: what was recorded of it, as JSON holds it."""
    ends: Mapping[int, RunEnd] = {}
    """Of an end: how the process of each rank ended, as far as it could say so; rank 0 is always there. Its
    values are the resources of the last train record."""

    @classmethod
    def of(cls, event: Event) -> "Observation":
        """What an Event tells."""
        values: Mapping[str, float | None] = event.metrics
        resumed = None
        if event.notes:
            values = event.metrics | dict(event.nonfinite())
            resumed = event.resumed_from
        if len(values) > MAX_VALUES:
            values = dict(islice(values.items(), MAX_VALUES))
        return cls(event.step, "log", values, event.model_info.phase, event.wall_time, resumed)

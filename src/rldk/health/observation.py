"""The Observation: one Event, checkpoint analysis, stall, step of the ranks or end, as rules see it."""

from collections.abc import Mapping
from itertools import islice
from typing import Any, Literal

import msgspec

from rldk.schema.event import Event, Phase
from rldk.schema.run_info import RunEnd

__all__ = ["Observation", "ObservationKind"]

ObservationKind = Literal["log", "checkpoint", "stall", "rank", "end"]
"""An Event; the analysis of a checkpoint; a stall that the watchdog noticed; one step of all ranks; the end
of the run."""

MAX_VALUES = 2000
"""Most metrics of a record that are judged, the first ones; real logs have a few dozen."""


class Observation(msgspec.Struct, frozen=True, gc=False):
    """Values of one moment of a run. Rules only read it."""

    step: int
    """Optimizer steps done."""
    kind: ObservationKind
    """Where the values come from; an Event is a `log`."""
    values: Mapping[str, float | None]
    """Values by canonical name, with NaN and infinities as they are; None where the trainer gave None."""
    phase: Phase = "train"
    """For a log: its phase."""
    wall_time: float | None = None
    """Seconds since the run began."""
    resumed_from: int | None = None
    """On the first record after a resume: the checkpoint's step."""
    detail: Mapping[str, Any] = {}
    """For anything but a log: the recorded line, as plain JSON data."""
    ends: Mapping[int, RunEnd] = {}
    """For an end: how the process of each rank ended, if it recorded that; rank 0 is always present. The
    `values` of an end are the resources of the last train record."""

    @classmethod
    def of(cls, event: Event) -> "Observation":
        """The observation of an Event."""
        values: Mapping[str, float | None] = event.metrics
        resumed = None
        if values.get("entropy_mean") == 0.0 and _trained_nothing(values):
            values = {name: value for name, value in values.items() if name != "entropy_mean"}
        if event.notes:
            values = {**values, **dict(event.nonfinite())}
            resumed = event.resumed_from
        if len(values) > MAX_VALUES:
            values = dict(islice(values.items(), MAX_VALUES))
        return cls(event.step, "log", values, event.model_info.phase, event.wall_time, resumed)


def _trained_nothing(values: Mapping[str, float | None]) -> bool:
    """Whether every completion was cut and masked: an entropy of 0 is then the mean over no token."""
    return values.get("truncated_frac") == 1.0 and values.get("grad_norm") == 0.0 == values.get("loss")

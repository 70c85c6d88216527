"""The values of a whole run that questions about its course are answered from.

Invariant: only the metrics of these questions are kept. A page that reads a run for its findings fills no
history, and questions about its course are then not answered.
"""

from collections.abc import Mapping
from math import isfinite

from rldk.health.observation import Observation

__all__ = ["SPEEDS", "History"]

SPEEDS = ("step_wall_time_so_far", "iteration_time", "step_time", "perf/time_per_step")
"""Metrics of the seconds that a step takes, those of a whole step first."""
_WATCHED = {
    *SPEEDS,
    *("epoch", "loss", "lr", "grad_norm", "kl_mean", "kl_reference_point_mean", "train_loss"),
    *("clip_frac", "clip_two_sided_frac", "reward_mean", "reward_std", "frac_reward_zero_std"),
    *("completion_length_mean", "completion_length_min", "completion_length_max"),
    *("contain_eos_frac", "truncated_frac", "train_steps_per_second_so_far"),
    *("rewards_chosen", "rewards_rejected", "rewards_margins", "generation_time"),
}
_PREFIXES = ("rewards/", "timing_s/", "resource/gpu")


class History:
    """The watched values of each record, in order."""

    def __init__(self, *, has_steps: bool = True, is_excerpt: bool = False) -> None:
        self.has_steps = has_steps
        """Whether the log itself holds the steps."""
        self.is_excerpt = is_excerpt
        """Whether the log begins in the middle of the training."""
        self.train: list[tuple[int, Mapping[str, float | None]]] = []
        """Step and values of each train record."""
        self.evaluations: list[int] = []
        """The step of each evaluation."""
        self.closing: Mapping[str, float | None] = {}
        """The trainer's closing summary; empty if there is none."""

    def add(self, at: Observation) -> None:
        """Keep what an observation holds of the watched metrics."""
        if at.kind != "log":
            return
        if at.phase == "eval":
            self.evaluations.append(at.step)
        elif at.phase == "summary":
            self.closing = at.values
        else:
            kept = {name: value for name, value in at.values.items() if _is_watched(name)}
            self.train.append((at.step, kept))

    def of(self, name: str) -> list[float]:
        """The finite values of a metric in the train records."""
        return [
            value for _, values in self.train if (value := values.get(name)) is not None and isfinite(value)
        ]

    def broken(self, name: str) -> list[int]:
        """The steps at which a metric is NaN or infinite."""
        return [
            step
            for step, values in self.train
            if (value := values.get(name)) is not None and not isfinite(value)
        ]

    def together(self, *names: str) -> list[tuple[int, list[float]]]:
        """Step and values of the records that hold a finite value of each metric."""
        found = []
        for step, row in self.train:
            values = [value for name in names if (value := row.get(name)) is not None and isfinite(value)]
            if len(values) == len(names):
                found.append((step, values))
        return found

    def names(self, prefix: str) -> list[str]:
        """The names of train records that begin with `prefix`, in their first order."""
        seen = dict.fromkeys(name for _, values in self.train for name in values)
        return [name for name in seen if name.startswith(prefix)]


def _is_watched(name: str) -> bool:
    return name in _WATCHED or name.startswith(_PREFIXES)

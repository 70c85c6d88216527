"""Owns the meaning of each number in a training log: one canonical name per quantity, whoever logged it.

The same quantity has the same name in every trainer, and different quantities have different names, so that a
rule written for a name never reads another quantity. `METRICS` holds the names. `rldk.metrics.dialects` has a
table for each framework that maps its own keys to them.
"""

import re

from rldk.metrics.canonical import METRICS
from rldk.metrics.metric import Metric

__all__ = ["METRICS", "Metric", "metric_of"]

_OF_GPU = re.compile(r"^resource/gpu\d+_")


def metric_of(name: str) -> Metric | None:
    """The metric of a recorded name, with or without `eval_`; None for a name of the user's own.

    A part in braces matches any text: `rewards/accuracy/mean` is `rewards/{function}/mean`, and
    `resource/gpu3_power` is `resource/gpu{index}_power`.

    Example:
        >>> metric_of("eval_rewards/accuracy/mean").name
        'rewards/{function}/mean'
        >>> metric_of("my_score") is None
        True
    """
    plain = _OF_GPU.sub("resource/gpu{index}_", name.removeprefix("eval_"))
    if plain in METRICS:
        return METRICS[plain]
    first, _, rest = plain.partition("/")
    _, _, last = rest.rpartition("/")
    return METRICS.get(f"{first}/{{function}}/{last}") if rest else None

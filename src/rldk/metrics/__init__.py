"""Owns what a number in a training log is: one canonical name for one quantity, whoever logged it.

The same quantity has the same name in every trainer, and different quantities have different
names, so that a rule written against a name never reads something else. The names are
`METRICS`; how a framework's own keys map to them is a table a framework in
`rldk.metrics.dialects`.
"""

import re

from rldk.metrics.canonical import METRICS
from rldk.metrics.metric import Metric

__all__ = ["METRICS", "Metric", "metric_of"]

_OF_GPU = re.compile(r"^resource/gpu\d+_")


def metric_of(name: str) -> Metric | None:
    """The metric that a recorded name stands for, with or without `eval_`; None where it is the user's own.

    A part in braces stands for any text: `rewards/accuracy/mean` is `rewards/{function}/mean`, and
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

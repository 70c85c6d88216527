"""Owns the reading of ToyRL's log: `[iteration 20]`, then a line `key = value` for each metric.

Invariant: each iteration with a metric is one row; a line that is neither goes to `on_bad`.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from rldk.runs.adapters import Adapter, BadLine, OnBad, Probe, Row, text_lines
from rldk_example_plugin.toyrl_keys import TOYRL

__all__ = ["ADAPTER"]

_HEAD = re.compile(r"\[iteration (\d{1,12})\]")


def _confidence(probe: Probe) -> float:
    return 0.95 if probe.lines and _HEAD.fullmatch(probe.lines[0].strip()) else 0.0


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    step: int | None = None
    values: dict[str, float] = {}
    for number, line in text_lines(path, on_bad):
        if head := _HEAD.fullmatch(line.strip()):
            if values:
                yield Row(values, step)
            step, values = int(head[1]), {}
            continue
        key, _, value = line.partition("=")
        try:
            values[key.strip()] = float(value)
        except ValueError:
            on_bad(BadLine(path, number, "neither [iteration N] nor key = number"))
    if values:
        yield Row(values, step)


ADAPTER = Adapter(
    name="toyrl-log",
    what="the log of ToyRL: [iteration N] and key = value lines",
    confidence=_confidence,
    rows=_rows,
    dialect=TOYRL,
)

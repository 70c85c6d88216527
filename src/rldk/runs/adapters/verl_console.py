"""Reads verl's console lines: `step:12 - actor/entropy:0.14 - actor/pg_loss:np.float64(0.0)`.

Invariant: each such line becomes one row with its step; keys stay unchanged, and a value that is no number
stays text.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row, text_lines
from rldk.runs.adapters.file_search import contains, is_data_file
from rldk.runs.adapters.printed_dicts import scalar

__all__ = ["ADAPTER"]

_LINE = re.compile(r"(?<![\w/])step:\s?(\d{1,12})\s-\s(?=[A-Za-z_][\w./@()+%,-]{0,300}:)")
_SEPARATOR = re.compile(r"\s-\s(?=[A-Za-z_][^:]{0,300}:)")
_REPEATED = re.compile(r"\[repeated [^\[\]]*\]$")
"""The text that ray appends to a line that several processes printed."""
_ANYWHERE = re.compile(
    rb"(?<![\w/])step:\s?\d{1,12} - [A-Za-z_][\w./@()+%,-]{0,300}:(?:np\.\w{1,20}\()?[-+]?(?:\d|nan|inf)"
)


def _confidence(probe: Probe) -> float:
    if not probe.text or not (any(map(_row, probe.lines)) or contains(probe, _ANYWHERE)):
        return 0.0
    return 0.1 if is_data_file(probe) else 0.95


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    for _, line in text_lines(path, on_bad):
        if row := _row(line):
            yield row


def _row(line: str) -> Row | None:
    begin = _LINE.search(line) if "step:" in line else None
    if begin is None:
        return None
    values = {}
    for pair in _SEPARATOR.split(_REPEATED.sub("", line[begin.end() :])):
        key, colon, value = pair.rpartition(":")
        if colon:
            values[key.strip()] = scalar(value)
    if not any(isinstance(value, int | float) for value in values.values()):
        return None
    validation = all(key.startswith(("val/", "val-", "val_")) for key in values)
    return Row(values, int(begin[1]), phase="eval" if validation else None)


ADAPTER = Adapter(
    name="verl-console",
    what="the console of verl: step:N - key:value lines",
    confidence=_confidence,
    rows=_rows,
    dialect="verl",
)

"""Runs told row by row: trains, evaluations and summaries in the order of a trainer."""

from collections.abc import Iterable, Mapping
from math import isfinite
from typing import Any

from events import event
from rldk.health import RULES, Diagnosis, Finding, Monitor, RunContext, diagnose
from rldk.schema.event import Phase, nonfinite_note

Row = tuple[int, Phase, Mapping[str, float | None]]


def diagnosed(rows: Iterable[Row], algorithm: str | None = None, **context: Any) -> Diagnosis:
    """The diagnosis of rows, by all rules; none of which may fail."""
    monitor = Monitor(RunContext(**{"algorithm": algorithm, "dialect": "trl", **context}), RULES)
    monitor.begin()
    for step, phase, values in rows:
        odd = {name: value for name, value in values.items() if value is None or not isfinite(value)}
        notes = tuple(nonfinite_note(name, value) for name, value in odd.items())
        monitor.feed(event(step, phase, notes, **{**values, **dict.fromkeys(odd)}))
    assert not monitor.failed
    return diagnose(monitor)


def finding(rows: Iterable[Row], rule: str, algorithm: str | None = None, **context: Any) -> Finding | None:
    """What one rule found, or None."""
    return next((one for one in diagnosed(rows, algorithm, **context).findings if one.rule == rule), None)


def alarms(rows: Iterable[Row], algorithm: str | None = None, **context: Any) -> list[str]:
    """The rules that found something above information."""
    return [one.rule for one in diagnosed(rows, algorithm, **context).findings if one.severity != "info"]


def trains(spacing: int = 1, /, **columns: Iterable[float | None]) -> list[Row]:
    """Train records of columns by canonical name."""
    names = list(columns)
    values = zip(*columns.values(), strict=True)
    return [
        (
            (i + 1) * spacing,
            "train",
            {n: None if v is None else float(v) for n, v in zip(names, row, strict=True)},
        )
        for i, row in enumerate(values)
    ]


def evaluated(rows: list[Row], every: int, **columns: Iterable[float]) -> list[Row]:
    """`rows` with an evaluation after each `every` of them; its values by canonical name without `eval_`."""
    values = {name: iter(column) for name, column in columns.items()}
    merged: list[Row] = []
    for count, row in enumerate(rows, 1):
        merged.append(row)
        if count % every == 0:
            now = {f"eval_{name}": float(next(column)) for name, column in values.items()}
            merged.append((row[0], "eval", now))
    return merged

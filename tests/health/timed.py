"""Runs told by columns and by the seconds of each record, for rules that go by recorded times."""

import numpy as np

from rldk.health import Observation, Settings, diagnose
from rldk.health.context import RunContext


def diagnosed(columns, *, seconds=20.0, spacing=1, **context):
    """The diagnosis of columns of equal length; `seconds` a record, one number or one for each."""
    records = max(len(column) for column in columns.values())
    clock = np.cumsum(np.broadcast_to(seconds, records))
    monitor = Settings().monitor(RunContext(algorithm="grpo", dialect="trl", **context))
    monitor.begin()
    for record in range(records):
        values = {name: float(column[record]) for name, column in columns.items() if record < len(column)}
        monitor.observe(Observation((record + 1) * spacing, "log", values, wall_time=float(clock[record])))
    assert not monitor.failed
    return diagnose(monitor)


def found(columns, rule, **options):
    """What one rule found in columns, or None."""
    return next((one for one in diagnosed(columns, **options).findings if one.rule == rule), None)

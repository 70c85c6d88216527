"""Series with noise for tests of rules, and what a Monitor finds in them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from events import event
from rldk.health import Diagnosis, Finding, Monitor, RunContext, Settings, diagnose

Series = Sequence[float] | np.ndarray


def noise(
    records: int, sd: float = 1.0, *, seed: int = 0, rho: float = 0.0, heavy: bool = False
) -> np.ndarray:
    """Noise of standard deviation `sd`: independent or autocorrelated, normal or with heavy tails."""
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(4, records) / np.sqrt(2) if heavy else rng.normal(size=records)
    series = np.zeros(records)
    for i in range(records):
        series[i] = rho * (series[i - 1] if i else 0.0) + np.sqrt(1 - rho**2) * shocks[i]
    return sd * series


def line(start: float, end: float, records: int) -> np.ndarray:
    """A straight line."""
    return np.linspace(start, end, records)


def judged(
    columns: Mapping[str, Series], *, algorithm: str | None = "grpo", spacing: int = 1, **context: Any
) -> Monitor:
    """A Monitor told columns of equal length, by canonical name; steps go up by `spacing`.

    NaN in a column is NaN in the log; a column shorter than the others is absent from the later records.
    """
    monitor = Settings().monitor(RunContext(algorithm=algorithm, dialect="trl", **context))
    monitor.begin()
    for record in range(max(len(column) for column in columns.values())):
        values = {name: float(column[record]) for name, column in columns.items() if record < len(column)}
        notes = tuple(f"nonfinite:{name}={value}" for name, value in values.items() if not np.isfinite(value))
        finite = {name: value if np.isfinite(value) else None for name, value in values.items()}
        monitor.feed(event((record + 1) * spacing, "train", notes, **finite))
    return monitor


def diagnosis(columns: Mapping[str, Series], **options: Any) -> Diagnosis:
    """The diagnosis of columns; options as of `judged`."""
    return diagnose(judged(columns, **options))


def found(columns: Mapping[str, Series], rule: str, **options: Any) -> Finding | None:
    """What one rule found in columns, or None; options as of `judged`."""
    return next((one for one in diagnosis(columns, **options).findings if one.rule == rule), None)

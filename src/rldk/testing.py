"""Helpers for tests of rules: series of metrics in, what a rule finds in them out.

Invariant: the same arguments give the same series and the same findings; a rule that raises fails the test.

Example:
    ```python
    from rldk.testing import found, line, noise


    def test_a_reward_that_falls_is_reported():
        rise, fall = line(0.2, 0.8, 200), line(0.8, 0.3, 100)
        finding = found({"reward_mean": [*rise, *fall] + noise(300, 0.02)}, "reward-collapse")
        assert finding is not None
        assert 200 < finding.onset_step < 300


    def test_a_reward_that_rises_is_healthy():
        assert found({"reward_mean": line(0.2, 0.8, 300) + noise(300, 0.02)}, "reward-collapse") is None
    ```
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rldk.health import Diagnosis, Finding, Monitor, Rule, RunContext, Settings, diagnose, find_rule
from rldk.schema.event import DataSlice, Event, ModelInfo, Phase, Rng, nonfinite_note

__all__ = ["Series", "diagnosis", "event", "found", "judged", "line", "noise"]

Series = Sequence[float] | NDArray[np.float64]
"""The values of one metric, one a record."""


def line(start: float, end: float, records: int) -> NDArray[np.float64]:
    """A straight line from `start` to `end`."""
    return np.linspace(start, end, records)


def noise(
    records: int, sd: float = 1.0, *, seed: int = 0, rho: float = 0.0, heavy: bool = False
) -> NDArray[np.float64]:
    """Noise of mean 0.

    Args:
        records: how many values.
        sd: their standard deviation.
        seed: the same seed gives the same noise.
        rho: autocorrelation from one record to the next, -1 to 1.
        heavy: heavy tails (Student's t with 4 degrees of freedom) instead of a normal distribution.
    """
    rng = np.random.default_rng(seed)
    shocks = rng.standard_t(4, records) / np.sqrt(2) if heavy else rng.normal(size=records)
    series = np.zeros(records)
    for i in range(records):
        series[i] = rho * (series[i - 1] if i else 0.0) + np.sqrt(1 - rho**2) * shocks[i]
    return sd * series


def event(step: int, phase: Phase = "train", notes: tuple[str, ...] = (), /, **metrics: Any) -> Event:
    """An Event with little in it but metrics.

    Args:
        step: its step.
        phase: `train`, `eval` or `summary`.
        notes: its notes.
        metrics: by canonical name.
    """
    return Event(
        step=step,
        wall_time=step / 2,
        metrics=metrics,
        rng=Rng(seed=42),
        data_slice=DataSlice(batch_size=8),
        model_info=ModelInfo(run_id="run", phase=phase),
        notes=notes,
    )


def judged(
    columns: Mapping[str, Series],
    *,
    rules: Iterable[type[Rule]] = (),
    thresholds: Mapping[str, Mapping[str, Any]] | None = None,
    algorithm: str | None = "grpo",
    spacing: int = 1,
    **context: Any,
) -> Monitor:
    """A Monitor that has observed a run.

    Args:
        columns: the values of each metric, by canonical name. NaN and infinity are what a log would hold; a
            column that is shorter than the others is absent from the later records.
        rules: rules that judge beside those that are installed.
        thresholds: options by rule, as `alert_thresholds` of the callback.
        algorithm: the run's algorithm.
        spacing: steps a record.
        context: other fields of the `RunContext`, such as `options={"beta": 0.04}`.
    """
    given = {name: dict(options) for name, options in (thresholds or {}).items()}
    settings = Settings(rules=tuple(rules), thresholds=given).check()
    monitor = settings.monitor(RunContext(**{"algorithm": algorithm, "dialect": "trl", **context}), _raise)
    monitor.begin()
    for record in range(max(len(column) for column in columns.values())):
        values = {name: float(column[record]) for name, column in columns.items() if record < len(column)}
        notes = tuple(nonfinite_note(name, value) for name, value in values.items() if not np.isfinite(value))
        finite = {name: value if np.isfinite(value) else None for name, value in values.items()}
        monitor.feed(event((record + 1) * spacing, "train", notes, **finite))
    return monitor


def diagnosis(columns: Mapping[str, Series], **options: Any) -> Diagnosis:
    """The diagnosis of a run; the arguments are those of `judged`."""
    return diagnose(judged(columns, **options))


def found(columns: Mapping[str, Series], rule: str | type[Rule], **options: Any) -> Finding | None:
    """What one rule found in a run; None where it judged the run and found nothing.

    Args:
        columns: as of `judged`.
        rule: the name of an installed rule or of one of `rules`, or a rule.
        options: as of `judged`.

    Raises:
        ValueError: there is no such rule, or it could not judge this run: it does not apply to the
            algorithm, or no record held what it needs.
    """
    rules = tuple(options.pop("rules", ()))
    kind = find_rule(rule, rules) if isinstance(rule, str) else rule
    monitor = judged(columns, rules=rules if isinstance(rule, str) else (*rules, rule), **options)
    outcome = diagnose(monitor)
    for finding in outcome.findings:
        if finding.rule == kind.name:
            return finding
    unchecked = {one.rule: one.how for one in outcome.not_checked}
    if not any(isinstance(one, kind) for one in monitor.rules):
        unchecked[kind.name] = f"it is not for {monitor.context.algorithm}"
    if kind.name in unchecked:
        raise ValueError(f"{kind.name} could not judge this run: {unchecked[kind.name]}")
    return None


def _raise(_: str, error: Exception) -> None:
    raise error

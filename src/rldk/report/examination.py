"""A judged run, with all facts that a report needs.

Invariant: the run is read once; the findings come from the Monitor, whatever the report.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from rldk.doctor.judge import diagnosis_of
from rldk.health import Diagnosis, Finding, Incident, Monitor
from rldk.health.diagnosis import ENOUGH
from rldk.health.normal import Answer, Questions
from rldk.report.curve import Curves
from rldk.report.rows import Row, ShortLog, what_rows_show
from rldk.runs import Run
from rldk.runs.opener import OURS
from rldk.schema.event import Event

__all__ = ["Examination", "examine"]


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """The facts of a report about a run."""

    source: str
    """The run as the user named it."""
    name: str
    """Name in a headline."""
    format: str
    """The format of the log."""
    dialect: str | None
    """The dialect of the metric keys; None if unknown."""
    algorithm: str | None
    """The training algorithm; None if unknown."""
    records: int
    """Train records."""
    first_step: int | None
    """The lowest step of a train record."""
    last_step: int | None
    """The highest step of a train record."""
    state: Literal["running", "ended", "unfinished"]
    """Whether it still runs; if not, whether its end is recorded."""
    diagnosis: Diagnosis
    """The diagnosis."""
    curves: Curves
    """The series, thinned."""
    answers: list[Answer]
    """Answers about values that look odd in this run and are normal."""
    bad_lines: int = 0
    """Number of unreadable lines in the log."""
    is_recorded: bool = False
    """Whether rldk recorded it."""
    has_steps: bool = True
    """Whether the log itself holds steps; else rldk counts its train records."""
    is_excerpt: bool = False
    """Whether the log begins in the middle of the training."""
    statements: list[str] = []
    """What the rows of a log that is too short to judge prove by themselves."""

    @property
    def worst(self) -> Finding | None:
        """The first finding to report: the root of the most severe group."""
        return self.diagnosis.findings[0] if self.diagnosis.findings else None


def examine(
    run: Run,
    monitor: Monitor,
    *,
    source: str,
    events: Iterable[Event] | None = None,
    on_incident: Callable[[Incident], None] | None = None,
) -> Examination:
    """Feed a run to a new Monitor, and gather the facts for reports.

    Args:
        run: the run.
        monitor: a Monitor that has observed nothing yet.
        source: the run as the user named it.
        events: the events of the run, such as a wrapped or a live iterator; read from `run` by default.
        on_incident: called with each incident that opens or becomes more severe.
    """
    report = on_incident or _nobody
    questions = Questions(monitor.context, monitor.chart, monitor.rules)
    curves = Curves()
    rows: list[Row] = []
    steps: list[int] = []
    closing: Row = {}
    has_steps = run.has_steps
    low = high = evaluated = None
    for incident in monitor.begin():
        report(incident)
    for at in run.observations(events):
        for incident in monitor.observe(at):
            report(incident)
        curves.take(at)
        if at.kind == "log" and at.phase == "eval" and low is None and has_steps:
            evaluated = at.step
        if at.kind == "log" and at.phase == "summary":
            closing = at.values
        if at.kind == "log" and at.phase == "train":
            low = at.step if low is None else min(low, at.step)
            high = at.step if high is None else max(high, at.step)
            if len(rows) < ENOUGH:
                rows.append(at.values)
                steps.append(at.step)
    diagnosis = diagnosis_of(run, monitor)
    found = {finding.rule for finding in diagnosis.findings}
    calm = diagnosis.status != "critical"
    context = monitor.context
    shown = ShortLog(
        rows,
        context.algorithm,
        context.dialect,
        evaluated,
        steps if has_steps else (),
        closing,
        context.is_excerpt,
    )
    return Examination(
        source=source,
        name=run.path.name or run.path.resolve().name,  # `.` has no name
        format=run.format,
        dialect=context.dialect,
        algorithm=context.algorithm,
        records=monitor.records,
        first_step=low,
        last_step=high,
        state=run.state,
        diagnosis=diagnosis,
        curves=curves,
        answers=[answer for answer in questions.answers() if calm and found.isdisjoint(answer.rules)],
        bad_lines=run.bad_count,
        is_recorded=run.format == OURS,
        has_steps=has_steps,
        is_excerpt=context.is_excerpt,
        statements=what_rows_show(shown) if monitor.records < ENOUGH else [],
    )


def _nobody(incident: Incident) -> None:
    """Ignore an incident."""

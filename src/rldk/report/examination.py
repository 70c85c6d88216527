"""A run, judged, with all that a report says of it.

Invariant: the run is read once; what was found is the Monitor's, whatever the report.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import msgspec

from rldk.doctor.judge import diagnosis_of
from rldk.health import Diagnosis, Finding, Incident, Monitor
from rldk.health.normal import Answer, Questions
from rldk.report.curve import Curves
from rldk.runs import Run
from rldk.runs.opener import OURS
from rldk.schema.event import Event

__all__ = ["Examination", "examine"]


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What a report tells of one run."""

    source: str
    """The run as the user named it."""
    name: str
    """What to call it in a headline."""
    format: str
    """The format of the log."""
    dialect: str | None
    """Whose metric keys the log has; None where nothing tells."""
    algorithm: str | None
    """The training algorithm; None where nothing tells."""
    records: int
    """Train records."""
    first_step: int | None
    """The lowest step of a train record."""
    last_step: int | None
    """The highest step of a train record."""
    state: Literal["running", "ended", "unfinished"]
    """Whether it goes on, and if not, whether its end is recorded."""
    diagnosis: Diagnosis
    """What was found."""
    curves: Curves
    """The series, thinned."""
    answers: list[Answer]
    """What looks odd in this run and is normal."""
    bad_lines: int = 0
    """Lines of the log that could not be read."""
    is_recorded: bool = False
    """Whether rldk recorded it."""

    @property
    def worst(self) -> Finding | None:
        """The finding to be told first: the cause of the worst story."""
        return self.diagnosis.findings[0] if self.diagnosis.findings else None


def examine(
    run: Run,
    monitor: Monitor,
    *,
    source: str,
    events: Iterable[Event] | None = None,
    on_incident: Callable[[Incident], None] | None = None,
) -> Examination:
    """Feed a run to a monitor that was told nothing yet, and gather what reports need.

    Args:
        run: the run.
        monitor: what judges it.
        source: the run as the user named it.
        events: its events, where they are not to be read straight from it: counted, or as they come.
        on_incident: called with each incident as it opens or becomes more severe.
    """
    report = on_incident or _nobody
    questions = Questions(monitor.context, monitor.chart, monitor.rules)
    curves = Curves()
    low = high = None
    for incident in monitor.begin():
        report(incident)
    for at in run.observations(events):
        for incident in monitor.observe(at):
            report(incident)
        curves.take(at)
        if at.kind == "log" and at.phase == "train":
            low = at.step if low is None else min(low, at.step)
            high = at.step if high is None else max(high, at.step)
    diagnosis = diagnosis_of(run, monitor)
    found = {finding.rule for finding in diagnosis.findings}
    return Examination(
        source=source,
        name=run.path.name,
        format=run.format,
        dialect=monitor.context.dialect,
        algorithm=monitor.context.algorithm,
        records=monitor.records,
        first_step=low,
        last_step=high,
        state=run.state,
        diagnosis=diagnosis,
        curves=curves,
        answers=[answer for answer in questions.answers() if found.isdisjoint({*answer.rules, "non-finite"})],
        bad_lines=run.bad_count,
        is_recorded=run.format == OURS,
    )


def _nobody(incident: Incident) -> None:
    """Nobody listens."""

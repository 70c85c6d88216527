"""The Diagnosis: the findings of a Monitor on a whole run, and the rules that it could not check.

Invariant: it is made from the Monitor alone, so a live diagnosis and a later one agree. Every applicable rule
either judges the run or is listed as not checked. A rule that fails when it is asked about its finding costs
no finding.
"""

from collections.abc import Callable, Collection, Mapping
from math import isfinite
from typing import Any, Literal, TypeVar

import msgspec

from rldk.health.causality import cause_of
from rldk.health.context import OFFLINE
from rldk.health.monitor import Incident, Monitor
from rldk.health.remedies import render_remedies
from rldk.health.rule import Cause, Rule, Severity, Verdict
from rldk.health.text import literal, sentence
from rldk.metrics.aliases import LOSS, REWARD
from rldk.schema.alert import Finding, Levels

__all__ = ["Diagnosis", "NotChecked", "Status", "by_cause", "diagnose", "finding_of"]

T = TypeVar("T")
Status = Literal["healthy", "info", "warning", "critical", "insufficient-data"]
ENOUGH = 20
"""Train records from which a run without findings is called healthy: with fewer, most rules are silent."""
_NEVER_GOOD = -1
MAX_SHOWN = 4
"""Metrics of one pattern, such as `rewards/*/mean`, on which a finding is shown."""
NO_FINDING = {
    "healthy": "These metrics show no problem.",
    "insufficient-data": "There is too little to judge by.",
}
"""The headline of a diagnosis without findings, by its status."""


class NotChecked(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that could not judge this run."""

    rule: str
    code: str
    needs: list[str]
    """Metrics that the run does not hold; empty where it lacks something else."""
    how: str
    """How to enable the rule."""


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """The findings, and the rules that were not checked.

    `print` it for the verdict in a few lines; a notebook shows it as Markdown.
    """

    status: Status
    findings: list[Finding]
    """The worst first; a consequence right after its cause."""
    not_checked: list[NotChecked]
    missing: str | None = None
    """What the run lacks to be called healthy, if there were no findings; None: nothing."""

    def at_least(self, severity: Severity) -> list[Finding]:
        """The findings of a severity and above."""
        return [finding for finding in self.findings if Severity.of(finding.severity) >= severity]

    def __repr__(self) -> str:
        found = ", ".join(f"{finding.severity} {finding.rule}" for finding in self.findings) or "no findings"
        return f"<Diagnosis {self.status}: {found}; {self._unchecked()}>"

    def __str__(self) -> str:
        """The verdict, a line a finding and the first remedy of each root, and how much was not checked."""
        lines = [f"{self.status.upper()}: {self._headline()}"]
        for finding in self.findings:
            explained = self._is_explained(finding)
            begin = f"{'  explains ' if explained else ''}{finding.severity} {finding.rule}"
            lines.append(f"{begin} {_origin(finding)}: {sentence(finding.message)}")
            if finding.remedies and not explained:
                lines.append(f"  Try: {sentence(finding.remedies[0])}")
        return "\n".join([*lines, sentence(self._unchecked())])

    def _repr_markdown_(self) -> str:
        """The same as Markdown, as Jupyter shows it."""
        lines = []
        for finding in self.findings:
            explained = self._is_explained(finding)
            begin = f"{'  - explains ' if explained else '- '}**{finding.severity}** `{finding.rule}`"
            lines.append(f"{begin} {_origin(finding)}: {literal(sentence(finding.message))}")
            if finding.remedies and not explained:
                lines.append(f"  - Try: {literal(sentence(finding.remedies[0]))}")
        head = f"**{self.status.upper()}**: {literal(self._headline())}"
        return "\n\n".join(filter(None, [head, "\n".join(lines), sentence(self._unchecked())]))

    def _headline(self) -> str:
        if not self.findings:
            return self.missing or NO_FINDING[self.status]
        return sentence(self.findings[0].summary or self.findings[0].message)

    def _unchecked(self) -> str:
        count = len(self.not_checked)
        return f"{count} rule{'' if count == 1 else 's'} not checked"

    def _is_explained(self, finding: Finding) -> bool:
        return any(finding.caused_by == other.rule for other in self.findings)


def _origin(finding: Finding) -> str:
    """The code of the rule and the onset of the finding."""
    return f"({finding.code}) since step {finding.onset_step:,}"


def diagnose(monitor: Monitor) -> Diagnosis:
    """The diagnosis of the run by all that the monitor has observed so far."""
    incidents = [incident for incident in monitor.incidents.values() if _is_reported(incident)]
    findings = by_cause([finding_of(incident, monitor) for incident in incidents])
    findings = _with_agreed_last_good(findings, {one.rule.name for one in incidents if _spares(one.rule)})
    missing = _missing(monitor)
    status: Status = "healthy" if missing is None else "insufficient-data"
    if findings:
        status = max(Severity.of(finding.severity) for finding in findings).word
    return Diagnosis(status=status, findings=findings, not_checked=_unchecked(monitor), missing=missing)


def _is_reported(incident: Incident) -> bool:
    return incident.open or incident.is_lasting or incident.rule.when_over != "forget"


def severity_of(incident: Incident) -> Severity:
    """The severity of an incident in a diagnosis: info, where it is over and its rule downgrades it."""
    over = not incident.open and not incident.is_lasting and incident.rule.when_over == "info"
    return Severity.INFO if over else incident.verdict.severity


def finding_of(incident: Incident, monitor: Monitor) -> Finding:
    """The finding of one incident; other incidents so far may explain it."""
    rule, verdict = incident.rule, incident.verdict
    others = [
        other
        for other in monitor.incidents.values()
        if other.rule is not rule and _is_reported(other) and _explains(other.rule, rule.name)
    ]
    onsets = {other.rule.name: other.onset_step for other in others}
    changes = {
        other.rule.name: other.onset_step
        for other in monitor.incidents.values()
        if other.rule.is_change and severity_of(other) >= other.rule.severity
    }
    span = (monitor.last_step or 0) - (monitor.first_step or 0)
    spacing = span / max(monitor.records - 1, 1)
    known = next((name for name in verdict.explained_by if name in onsets), None)
    causes = likely_causes(incident)
    over = "" if incident.open else f" (it lasted until step {incident.last_step:,})"
    return Finding(
        rule=rule.name,
        code=rule.code,
        severity=severity_of(incident).word,
        confidence=round(verdict.confidence, 2),
        onset_step=incident.onset_step,
        first_step=incident.first_step,
        last_step=incident.last_step,
        message=verdict.message + over,
        evidence=_answer(lambda: _as_plain(verdict.evidence), {}),
        caused_by=known or cause_of(type(rule), incident.onset_step, onsets, spacing, changes),
        causes=[cause.text for cause in causes],
        remedies=render_remedies([remedy for cause in causes for remedy in cause.remedies], monitor.context),
        last_good_step=incident.last_good_step,
        last_good_checkpoint=None,
        samples=[],
        summary=str(_answer(rule.summary, rule.name)),
        shown_on=_answer(lambda: _shown_on(rule, verdict, monitor), []),
        levels=Levels(baseline=verdict.baseline, limit=verdict.limit),
        spans=list(incident.spans),
    )


def _shown_on(rule: Rule, verdict: Verdict, monitor: Monitor) -> list[str]:
    """The metrics of `shown_on`, of its inputs, or of the evidence, that the run holds.

    Those of the evidence come first, in its order: the first is the one that decided.
    """
    evidence = [name for name in verdict.evidence if name in monitor.chart.known_names]
    needs = rule.shown_on or rule.inputs()
    found = [name for need in needs for name in _first_of(monitor.chart.held(need), evidence)]
    decided = [name for name in evidence if name in found or not needs]
    return [*dict.fromkeys([*decided, *found])]


def _first_of(names: list[str], evidence: list[str]) -> list[str]:
    """`MAX_SHOWN` of the names of one pattern, those of the evidence first."""
    return sorted(names, key=lambda name: name not in evidence)[:MAX_SHOWN]


def _answer(ask: Callable[[], T], otherwise: T) -> T:
    """The answer of a rule about its finding; `otherwise` if the rule raises, so that the finding stays."""
    try:
        return ask()
    except Exception:
        return otherwise


def _explains(rule: Rule, other: str) -> bool:
    """Whether the finding of `rule` may explain that of the rule `other`; True if the rule raises."""
    return _answer(lambda: rule.explains(other), otherwise=True)


def _as_plain(value: Any) -> Any:
    """Evidence as plain JSON data, whatever a rule returns.

    Numpy numbers and arrays become plain numbers and lists, NaN and infinities become text, and so does
    anything else.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): _as_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_plain(item) for item in value]
    if isinstance(value, float) and not isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)


def likely_causes(incident: Incident) -> list[Cause]:
    """The causes of an incident, the likeliest first; none if the rule raises."""
    return _answer(lambda: _valid_causes(incident.rule.causes()), [])


def _valid_causes(given: list[Cause]) -> list[Cause]:
    """The causes by their likelihood.

    Raises:
        TypeError: they are not a list of causes.
        ValidationError: a field has the wrong type.
    """
    causes = msgspec.convert(msgspec.to_builtins(list(given), enc_hook=float), list[Cause])  # numpy's
    return sorted(causes, key=lambda cause: -cause.likelihood)


def by_cause(findings: list[Finding]) -> list[Finding]:
    """Root findings by severity and onset, each followed by the findings that it explains.

    If findings explain each other in a circle, the worst of them is its root.
    """
    by_name = _without_circles(findings)

    def worst(finding: Finding) -> tuple[int, int, str]:
        return min(_rank(below) for below in tree(finding))

    def tree(finding: Finding) -> list[Finding]:
        children = sorted((f for f in by_name.values() if f.caused_by == finding.rule), key=_rank)
        return [finding, *(below for child in children for below in tree(child))]

    roots = [finding for finding in by_name.values() if finding.caused_by not in by_name]
    return [below for root in sorted(roots, key=worst) for below in tree(root)]


def _spares(rule: Rule) -> bool:
    """Whether what the rule finds leaves the weights as they are: a machine that is slow or full does."""
    return rule.family() == "SYS" and not rule.is_change


def _with_agreed_last_good(findings: list[Finding], sparing: Collection[str]) -> list[Finding]:
    """The findings, none with a last good step at which another alarm held already.

    Findings with one cause have one last good step, that of the first alarm among them.

    Args:
        findings: the findings, each after the one that explains it.
        sparing: the rules whose findings say nothing about the weights.
    """
    root: dict[str, str] = {}
    for finding in findings:
        cause = finding.caused_by
        root[finding.rule] = root.get(cause, finding.rule) if cause is not None else finding.rule
    alarms = [f for f in findings if f.severity != "info" and f.rule not in sparing]
    good = {
        finding.rule: _NEVER_GOOD if finding.last_good_step is None else finding.last_good_step
        for finding in findings
    }
    for _ in findings:  # each pass settles one of them at least
        before = dict(good)
        for finding in findings:
            if finding.rule in sparing:
                continue
            for alarm in alarms:
                held = alarm.onset_step <= good[finding.rule] <= alarm.last_step
                if held or root[alarm.rule] == root[finding.rule]:
                    good[finding.rule] = min(good[finding.rule], good[alarm.rule])
        if good == before:
            break
    return [
        msgspec.structs.replace(f, last_good_step=None if good[f.rule] == _NEVER_GOOD else good[f.rule])
        for f in findings
    ]


def _rank(finding: Finding) -> tuple[int, int, str]:
    return (-Severity.of(finding.severity), finding.onset_step, finding.code)


def _without_circles(findings: list[Finding]) -> dict[str, Finding]:
    """The findings by rule; where findings explain each other in a circle, the worst of them has no cause."""
    by_name = {finding.rule: finding for finding in findings}
    for finding in sorted(findings, key=_rank):
        cause, causes = finding.caused_by, set[str | None]()
        while cause in by_name and cause not in causes:
            causes.add(cause)
            cause = by_name[cause].caused_by
        if finding.rule in causes:
            by_name[finding.rule] = msgspec.structs.replace(finding, caused_by=None)
    return by_name


def _missing(monitor: Monitor) -> str | None:
    """What the run lacks to be called healthy: rules, records, or its goal in them; None: nothing."""
    records, chart = monitor.records, monitor.chart
    if not monitor.rules:
        return "No rule judges the run."
    if records == 0:
        return "The log holds no train record, so rldk cannot judge it."
    if records < ENOUGH:
        counted = "1 train record is" if records == 1 else f"{records} train records are"
        return f"{counted} too few to judge: most rules need {ENOUGH}."
    goals = _goals(monitor.context.algorithm)
    count = max(chart.track(goal).count for goal in goals)
    if count >= ENOUGH:
        return None
    if held := [name for goal, name in goals.items() if chart.holds(goal)]:
        return (
            f"Nothing looks wrong, but {count} of {records} train records hold a finite {' or '.join(held)}, "
            f"and most rules need {ENOUGH}."
        )
    return f"Nothing looks wrong, but the run logs no {' and no '.join(goals.values())} to judge by."


def _goals(algorithm: str | None) -> dict[str, str]:
    """The metrics that can show the goal of a run, with their names; any, where the algorithm is unknown."""
    if algorithm is None:
        return {REWARD: "reward", LOSS: "loss"}
    return {LOSS: "loss"} if algorithm in OFFLINE | {"trainer"} else {REWARD: "reward"}


def _failure_text(rule: type[Rule], error: str) -> str:
    where = "inside rldk" if rule.__module__.startswith("rldk.") else f"in {rule.__module__}"
    return f"it failed {where} ({error}): please report it"


def _unchecked(monitor: Monitor) -> list[NotChecked]:
    unchecked = [
        NotChecked(rule=kind.name, code=kind.code, needs=[], how=_failure_text(kind, error))
        for kind, error in monitor.broken.items()
    ]
    for rule in monitor.rules:
        if rule in monitor.failed:
            how = _failure_text(type(rule), monitor.failed[rule])
            unchecked.append(NotChecked(rule=rule.name, code=rule.code, needs=[], how=how))
        elif rule in monitor.not_checkable:
            how = monitor.not_checkable[rule]
            unchecked.append(NotChecked(rule=rule.name, code=rule.code, needs=[], how=how))
        elif rule not in monitor.checked:
            nothing: tuple[str, ...] = ()
            inputs = _answer(rule.inputs, nothing)
            needs = [need for need in inputs if not monitor.chart.holds(need)]
            how = rule.enable or f"log {' and '.join(need.replace('|', ' or ') for need in inputs)}"
            unchecked.append(NotChecked(rule=rule.name, code=rule.code, needs=needs, how=how))
    return unchecked

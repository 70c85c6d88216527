"""The Monitor: observations in, incidents out.

Owns the open incidents. Invariant: the same observations give the same incidents, live or afterwards. Work
per observation and memory are bounded. A rule that raises, or returns an invalid Verdict, is disabled and
named, and the other rules continue.
"""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from itertools import pairwise
from math import isfinite
from operator import index

import msgspec

from rldk.health.context import RunContext
from rldk.health.observation import Observation
from rldk.health.rule import Rule, RuleOptions, Severity, Verdict
from rldk.health.step_size import StepSize
from rldk.health.tracks import Chart, Track
from rldk.metrics.aliases import LOSS, REWARD
from rldk.schema.event import Event
from rldk.schema.training_start import TrainingStart

__all__ = ["Incident", "Monitor"]

MAX_SHAPES = 64
"""Sets of keys whose dispatch is cached; logs have a handful."""
MAX_SPANS = 50
"""Stretches of an incident that are kept apart."""
REMEMBERED_STEPS = 1000
"""Train records whose steps are stored, to find the last good one."""


class Incident(msgspec.Struct):
    """A condition of one rule, from the record at which it was first seen to the last one."""

    rule: Rule
    """The rule that reported it."""
    verdict: Verdict
    """The verdict of the highest severity, until the rule's verdicts have been milder for `patience`
    records."""
    onset_step: int
    """Step at which it began."""
    first_step: int
    """Step at which the rule first reported it."""
    last_step: int
    """Step at which it last held."""
    last_good_step: int | None
    """The last train record before the onset; None where it held from the start."""
    open: bool = True
    """Whether it still holds."""
    absent: int = 0
    """Records seen by the rule since it last held."""
    now: Severity = Severity.INFO
    """The severity of the newest verdict."""
    highest_reported: Severity = Severity.INFO
    """The highest severity that was returned as news."""
    milder: int = 0
    """Records in a row at which it held with a lower severity."""
    is_lasting: bool = False
    """Whether it keeps its severity when it is over, by its rule or by a verdict."""
    spans: list[tuple[int, int]] = msgspec.field(default_factory=list)
    """First and last step of each stretch of records at which it held, in order."""

    def extend(self, onset: int, step: int) -> None:
        """It holds at `step`: go on with the newest stretch, or begin one at `onset`."""
        spans = self.spans
        if spans and not self.absent:
            spans[-1] = (spans[-1][0], step)
            return
        begin = max(onset, spans[-1][1] + 1) if spans else onset
        spans.append((min(begin, step), step))
        if len(spans) > MAX_SPANS:
            gaps = [after[0] - before[1] for before, after in pairwise(spans)]
            near = gaps.index(min(gaps))
            spans[near : near + 2] = [(spans[near][0], spans[near + 1][1])]


class _Shape(msgspec.Struct, frozen=True):
    """The tracks and rules that records with one set of keys go to."""

    feeds: tuple[tuple[str, Track], ...]
    rules: tuple[Rule, ...]


class Monitor:
    """Judges one run, an Event at a time.

    Args:
        context: the run.
        rules: the rules to judge by (`rldk.health.select()`).
        options: the options of rules that do not have their defaults.
        on_failure: called when a rule raises, before the rule is disabled.
    """

    def __init__(
        self,
        context: RunContext,
        rules: Iterable[type[Rule]],
        options: Mapping[type[Rule], RuleOptions] | None = None,
        on_failure: Callable[[str, Exception], None] | None = None,
    ) -> None:
        self.context = context
        """The run that is judged."""
        self.chart = Chart(REWARD, LOSS)
        """The tracks of its train series, and of its evals."""
        self.chart.step_size = StepSize(context)
        self.records = 0
        """Train records so far."""
        self.first_step: int | None = None
        """Step of the first record."""
        self.last_step: int | None = None
        """Step of the newest record."""
        self.incidents: dict[Rule, Incident] = {}
        """The incident of each rule, in the order in which they were found."""
        self.checked: set[Rule] = set()
        """The rules that have observed something that they judge."""
        self.failed: dict[Rule, str] = {}
        """Rules that raised while they judged, with the exception."""
        self.rules: list[Rule] = []
        """The rules that apply to the run's algorithm."""
        self.not_checkable: dict[Rule, str] = {}
        """Rules that cannot judge this run, with the reason."""
        self.broken: dict[type[Rule], str] = {}
        """Rules that raised while they were made for this run, with the exception."""
        self._on_failure = on_failure
        self._steps: deque[int] = deque(maxlen=REMEMBERED_STEPS)
        self._shapes: dict[tuple[str, str, tuple[str, ...]], _Shape] = {}
        for kind in rules:
            self._make(kind, (options or {}).get(kind))

    def _make(self, kind: type[Rule], options: RuleOptions | None) -> None:
        algorithm = self.context.algorithm
        try:
            if kind.algorithms is not None and algorithm is not None and algorithm not in kind.algorithms:
                return
            rule = kind(kind.Options() if options is None else options, self.context, self.chart)
            reason = rule.checkable()
            hash(rule)  # a rule that compares by its values has no hash
        except Exception as error:
            self.broken[kind] = _described(error)
            if self._on_failure is not None:
                self._on_failure(f"the rule {kind.name}", error)
            return
        self.rules.append(rule)
        if reason:
            self.not_checkable[rule] = str(reason)

    def begin(self) -> list[Incident]:
        """Judge the configuration, before the first record; returns the incidents that it opened."""
        return self._inspect([rule for rule in self.rules if rule not in self.not_checkable])

    def begin_training(self, start: TrainingStart) -> list[Incident]:
        """Judge what the trainer holds, where a training begins in a run of evaluations.

        Returns the incidents that it opened.
        """
        self.context = msgspec.structs.replace(self.context, start=start)
        for rule in self.rules:
            rule.context = self.context
        checkable = [rule for rule in self.not_checkable if rule not in self.failed and not rule.checkable()]
        for rule in checkable:
            del self.not_checkable[rule]
        self._shapes.clear()
        return self._inspect(checkable)

    def _inspect(self, rules: Iterable[Rule]) -> list[Incident]:
        news: list[Incident] = []
        for rule in rules:
            try:
                verdict = rule.inspect()
                if verdict is not None:
                    self._hold(rule, _valid(verdict, rule), 0, news)
            except Exception as error:
                self._disable(rule, error)
                continue
            if not rule.phases:
                self.checked.add(rule)  # it judges only the configuration
        return news

    def feed(self, event: Event) -> list[Incident]:
        """Observe the next Event; returns the incidents that it opened, reopened or made more severe."""
        return self.observe(Observation.of(event))

    def observe(self, at: Observation) -> list[Incident]:
        """Judge the next observation; returns the incidents that it opened, reopened or made more severe."""
        step = at.step
        shape = self._take(at)
        news: list[Incident] = []
        incidents = self.incidents
        for rule in shape.rules:
            try:
                verdict = rule.observe(at)
                if verdict is not None:
                    incident = incidents.get(rule)
                    if incident is None or verdict is not incident.verdict:  # that one is known to be valid
                        verdict = _valid(verdict, rule)
                    self._hold(rule, verdict, step, news)
                elif rule in incidents and _is_evidence(at, rule):
                    self._release(incidents[rule])
            except Exception as error:
                self._disable(rule, error)
        return news

    def _take(self, at: Observation) -> _Shape:
        """Finds the rules that judge an observation; a log also counts as a record and feeds the tracks."""
        values, step = at.values, at.step
        key = (at.kind, at.phase, tuple(values))
        shape = self._shapes.get(key)
        if shape is None:
            shape = self._shape(at)
            if len(self._shapes) >= MAX_SHAPES:
                self._shapes.clear()
            self._shapes[key] = shape
        if at.kind != "log":
            return shape
        if at.phase == "train":
            self.records += 1
            self._steps.append(step)
            if self.records > 1:
                self.chart.spacing = max((step - (self.first_step or 0)) / (self.records - 1), 1.0)
            self.chart.step_size.feed(step, values)
        if self.first_step is None:
            self.first_step = step
        self.last_step = step
        all_finite = _are_finite(values.values())
        for name, track in shape.feeds:
            value = values[name]
            if value is not None and (all_finite or _are_finite((value,))):
                track.push(step, value)
        return shape

    def _shape(self, at: Observation) -> _Shape:
        rules = []
        for rule in self.rules:
            if rule in self.failed:
                continue
            try:
                if not self._sees(rule, at):
                    continue
                rule.meet(at.values.keys())
            except Exception as error:
                self._disable(rule, error)
                continue
            if _is_evidence(at, rule):
                self.checked.add(rule)
            rules.append(rule)
        feeds = self.chart.feeders(at.values) if at.kind == "log" and at.phase != "summary" else []
        return _Shape(tuple(feeds), tuple(rules))

    def _sees(self, rule: Rule, at: Observation) -> bool:
        if at.kind not in rule.kinds or at.phase not in rule.phases or rule in self.not_checkable:
            return False
        return at.kind != "log" or all(self.chart.holds(need, at.values) for need in rule.inputs())

    def _hold(self, rule: Rule, verdict: Verdict, step: int, news: list[Incident]) -> None:
        incident, severity = self.incidents.get(rule), verdict.severity
        is_lasting = verdict.is_lasting or rule.when_over == "keep"
        onset = step if verdict.onset is None else min(verdict.onset, step)
        if incident is None:
            good = verdict.last_good_step
            before = self._step_before(onset) if good is None else good
            incident = Incident(
                rule,
                verdict,
                onset,
                step,
                step,
                before,
                now=severity,
                highest_reported=severity,
                is_lasting=is_lasting,
            )
            incident.extend(onset, step)
            self.incidents[rule] = incident
            news.append(incident)
            return
        reopened = not incident.open
        incident.open = True
        incident.extend(onset, step)
        incident.last_step, incident.absent, incident.now = step, 0, severity
        milder = severity < incident.verdict.severity
        incident.milder = incident.milder + 1 if milder else 0
        incident.is_lasting = incident.is_lasting or is_lasting
        subsided = not incident.is_lasting and (reopened or incident.milder >= rule.patience)
        if not milder or subsided:
            again = reopened and (not incident.is_lasting or verdict.last_good_step is not None)
            worse = severity > Severity.INFO >= incident.verdict.severity
            if again or (worse and onset > incident.onset_step):
                self._begin_anew(incident, verdict, onset, step)
            incident.verdict, incident.milder = verdict, 0
        if severity > incident.highest_reported:
            incident.highest_reported = severity
            news.append(incident)

    def _begin_anew(self, incident: Incident, verdict: Verdict, onset: int, step: int) -> None:
        """Date an incident that was over, or only information until now, from when it began to matter."""
        good = verdict.last_good_step
        incident.onset_step, incident.first_step = onset, step
        incident.last_good_step = self._step_before(onset) if good is None else good

    def _release(self, incident: Incident) -> None:
        if incident.open:
            incident.absent += 1
            if incident.absent >= incident.rule.patience:
                incident.open = False

    def _step_before(self, onset: int) -> int | None:
        return next((step for step in reversed(self._steps) if step < onset), None)

    def _disable(self, rule: Rule, error: Exception) -> None:
        self.failed[rule] = _described(error)
        self._shapes.clear()
        if self._on_failure is not None:
            self._on_failure(f"the rule {rule.name}", error)


def _described(error: Exception) -> str:
    """Its class and its text; an exception of somebody else may fail to give one."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:
        return type(error).__name__


def _valid(verdict: Verdict, rule: Rule) -> Verdict:
    """The verdict, no more severe than its rule.

    Raises:
        TypeError: it is no Verdict, or one of its fields is of the wrong type.
        ValueError: its severity or its confidence is out of range.
    """
    if _is_plain(verdict) and verdict.severity <= rule.severity:
        return verdict  # as nearly all are: a condition that lasts gives a verdict at each record
    if not isinstance(verdict, Verdict):
        raise TypeError(f"{verdict!r} is not a Verdict")
    if not isinstance(verdict.message, str):
        raise TypeError(f"the message {verdict.message!r} is not a string")
    names = verdict.explained_by
    if not (isinstance(names, tuple) and all(isinstance(name, str) for name in names)):
        raise TypeError(f"explained_by {names!r} is no tuple of names")
    confidence = float(verdict.confidence)
    if not isfinite(confidence):
        raise ValueError(f"the confidence {confidence} is no number")
    onset, good = verdict.onset, verdict.last_good_step
    return Verdict(  # of plain numbers, where a rule gives those of numpy
        severity=min(Severity(verdict.severity), rule.severity),
        message=verdict.message,
        evidence=dict(verdict.evidence),
        onset=None if onset is None else index(onset),
        confidence=confidence,
        last_good_step=None if good is None else index(good),
        explained_by=names,
        is_lasting=bool(verdict.is_lasting),
        baseline=_finite(verdict.baseline),
        limit=_finite(verdict.limit),
    )


def _are_finite(values: Iterable[float | None]) -> bool:
    """Whether all values are finite numbers. A sum tells it at once; one that is too large says no."""
    try:
        return isfinite(sum(values))  # type: ignore[arg-type]
    except (TypeError, OverflowError):  # a None, or an integer that no float can hold
        return False


def _is_plain(verdict: Verdict) -> bool:
    """Whether every field has exactly its type, so that nothing has to be converted."""
    return (
        type(verdict) is Verdict
        and type(verdict.severity) is Severity
        and type(verdict.message) is str
        and type(verdict.evidence) is dict
        and type(verdict.confidence) is float
        and isfinite(verdict.confidence)
        and (verdict.onset is None or type(verdict.onset) is int)
        and (verdict.last_good_step is None or type(verdict.last_good_step) is int)
        and verdict.explained_by == ()
        and type(verdict.is_lasting) is bool
        and (verdict.baseline is None or _is_finite(verdict.baseline))
        and (verdict.limit is None or _is_finite(verdict.limit))
    )


def _is_finite(level: float) -> bool:
    return type(level) is float and isfinite(level)


def _finite(level: float | None) -> float | None:
    """A level as a plain float; None where it is infinite or no number."""
    return float(level) if level is not None and isfinite(level) else None


def _is_evidence(at: Observation, rule: Rule) -> bool:
    """Whether an observation can show that a condition is over: the end of a run cannot, for rules of
    logs.
    """
    return at.kind != "end" or rule.kinds == ("end",)

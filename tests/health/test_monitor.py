"""The Monitor: conditions in, incidents out."""

from itertools import pairwise

import msgspec
import numpy as np
import pytest

from events import event
from rldk.health import Cause as LikelyCause
from rldk.health import (
    Monitor,
    Observation,
    Remedy,
    Rule,
    RuleOptions,
    RunContext,
    Severity,
    Verdict,
    diagnose,
)


class Above(Rule):
    """The level is above 1."""

    code, name, severity = "TST001", "above", Severity.CRITICAL
    needs = ("level",)
    patience = 3
    enable = "log the level"

    class Options(RuleOptions, frozen=True):
        """Thresholds."""

        limit: float = 1.0

    def observe(self, at: Observation) -> Verdict | None:
        level = at.values["level"]
        if level <= self.options.limit:
            return None
        worst = Severity.CRITICAL if level > 10 else Severity.WARNING
        return Verdict(severity=worst, message=f"level {level}", evidence={"level": level})


class Broken(Rule):
    """Fails."""

    code, name, severity = "TST002", "broken", Severity.INFO

    def observe(self, at: Observation) -> Verdict | None:
        raise ZeroDivisionError("oops")


class Forgotten(Above):
    """Is not told when it is over."""

    code, name = "TST003", "forgotten"
    when_over = "forget"


class Kept(Above):
    """Stays what it was."""

    code, name = "TST004", "kept"
    when_over = "keep"


def fed(levels, rules=(Above,), **context):
    monitor = Monitor(RunContext(**context), rules)
    news = [monitor.feed(event(step, level=level)) for step, level in enumerate(levels)]
    return monitor, news


def test_an_incident_opens_once_escalates_and_closes():
    monitor, news = fed([0, 2, 2, 20, 2, 0, 0, 0, 0])
    assert [len(new) for new in news] == [0, 1, 0, 1, 0, 0, 0, 0, 0]
    (incident,) = monitor.incidents.values()
    assert (incident.onset_step, incident.first_step, incident.last_step) == (1, 1, 4)
    assert incident.last_good_step == 0
    assert incident.verdict.severity is Severity.CRITICAL
    assert not incident.open


def test_an_incident_survives_fewer_records_without_it_than_its_patience():
    monitor, _ = fed([2, 0, 0, 2, 0, 0])
    (incident,) = monitor.incidents.values()
    assert incident.open


def test_what_comes_again_is_not_news():
    monitor, news = fed([2, 0, 0, 0, 0, 2])
    assert [len(new) for new in news] == [1, 0, 0, 0, 0, 0]
    assert next(iter(monitor.incidents.values())).open


def test_what_comes_again_began_when_it_came_again_unless_it_lasts():
    class Lasting(Above):
        """Its finding keeps its severity."""

        when_over = "keep"

    class Knowing(Lasting):
        """It knows the last good step."""

        def observe(self, at):
            held = super().observe(at)
            return held and msgspec.structs.replace(held, last_good_step=at.step - 1)

    levels = [0, 2, 0, 0, 0, 0, 2]
    for rule, steps in ((Above, (6, 6, 5)), (Lasting, (1, 1, 0)), (Knowing, (6, 6, 5))):
        monitor, _ = fed(levels, [rule])
        (one,) = diagnose(monitor).findings
        assert (one.onset_step, one.first_step, one.last_good_step) == steps


def test_information_that_becomes_an_alarm_began_when_it_began_to_matter():
    class Paid(Above):
        """Information up to step 3, where it is an alarm that began at step 3."""

        def observe(self, at):
            alarm = at.step >= 3
            severity = Severity.WARNING if alarm else Severity.INFO
            return Verdict(severity=severity, message="high", evidence={}, onset=3 if alarm else 1)

    monitor, _ = fed([2] * 6, [Paid])
    (one,) = diagnose(monitor).findings
    assert (one.severity, one.onset_step, one.first_step, one.last_good_step) == ("warning", 3, 3, 2)
    assert one.spans == [(0, 5)]


@pytest.mark.parametrize(
    ("rule", "severities"), [(Above, ["info"]), (Forgotten, []), (Kept, ["warning"])], ids=str
)
def test_what_is_over_is_told_as_the_rule_says(rule, severities):
    monitor, _ = fed([2, 0, 0, 0, 0], [rule])
    assert [finding.severity for finding in diagnose(monitor).findings] == severities


def test_a_finding_with_a_lasting_verdict_keeps_its_severity_when_it_is_over():
    class Lasting(Above):
        """Lasts, where it is above 5."""

        def observe(self, at):
            verdict = super().observe(at)
            return verdict and msgspec.structs.replace(verdict, is_lasting=at.values["level"] > 5)

    for levels, severity in (([2], "info"), ([6], "warning"), ([2, 6], "warning"), ([6, 2], "warning")):
        monitor, _ = fed([*levels, 0, 0, 0, 0], [Lasting])
        assert [finding.severity for finding in diagnose(monitor).findings] == [severity], levels
    monitor, _ = fed([20, *([2] * 20)], [Lasting])
    assert [finding.severity for finding in diagnose(monitor).findings] == ["critical"]


def test_a_rule_that_raises_is_put_aside_and_the_others_go_on():
    failures = []
    monitor = Monitor(
        RunContext(), [Broken, Above], on_failure=lambda name, error: failures.append((name, error))
    )
    monitor.feed(event(1, level=2))
    monitor.feed(event(2, level=2))
    assert [name for name, _ in failures] == ["the rule broken"]
    diagnosis = diagnose(monitor)
    assert [finding.rule for finding in diagnosis.findings] == ["above"]
    assert [(one.rule, "ZeroDivisionError: oops" in one.how) for one in diagnosis.not_checked] == [
        ("broken", True)
    ]


def verdict(**fields):
    return Verdict(**{"severity": Severity.WARNING, "message": "high", "evidence": {}} | fields)


def raises(*_):
    raise KeyError("oops")


class UnreadableError(Exception):
    """What no text can be made of."""

    def __str__(self):
        raise ValueError("oops")


def raises_unreadable(*_):
    raise UnreadableError


@pytest.mark.parametrize(
    ("members", "says"),
    [
        ({"observe": lambda *_: True}, "TypeError: True is not a Verdict"),
        ({"inspect": lambda *_: True}, "TypeError: True is not a Verdict"),
        (
            {"observe": lambda *_: verdict(severity="warning")},
            "ValueError: 'warning' is not a valid Severity",
        ),
        ({"observe": lambda *_: verdict(message=None)}, "TypeError: the message None"),
        ({"observe": lambda *_: verdict(evidence=None)}, "TypeError"),
        ({"observe": lambda *_: verdict(onset="now")}, "TypeError"),
        ({"observe": lambda *_: verdict(last_good_step=0.5)}, "TypeError"),
        ({"observe": lambda *_: verdict(confidence=None)}, "TypeError"),
        ({"observe": lambda *_: verdict(confidence=float("nan"))}, "ValueError: the confidence nan"),
        ({"observe": lambda *_: verdict(explained_by="above")}, "TypeError: explained_by 'above'"),
        ({"severity": "warning", "observe": lambda *_: verdict()}, "TypeError"),
        ({"patience": None, "observe": lambda _, at: verdict() if at.step < 1 else None}, "TypeError"),
        ({"inputs": raises}, "KeyError: 'oops'"),
        ({"observe": raises_unreadable}, "UnreadableError"),
        ({"start": raises_unreadable}, "UnreadableError"),
        ({"needs": None}, "TypeError"),
        ({"phases": None}, "TypeError"),
        ({"meet": raises}, "KeyError: 'oops'"),
        ({"start": raises}, "KeyError: 'oops'"),
        ({"start": lambda rule: rule.chart.track(5)}, "TypeError: name a track by a string"),
        ({"checkable": raises}, "KeyError: 'oops'"),
        ({"algorithms": 5}, "TypeError"),
        ({"Options": raises}, "KeyError: 'oops'"),
        ({"__eq__": lambda *_: True}, "TypeError: unhashable type"),
    ],
)
def test_a_rule_that_misbehaves_is_put_aside_and_named_and_the_others_go_on(members, says):
    kind = type("Odd", (Above,), {"code": "TST020", "name": "odd", **members})
    failures = []
    rules = [kind, Above]
    monitor = Monitor(RunContext(algorithm="grpo"), rules, on_failure=lambda *failed: failures.append(failed))
    monitor.begin()
    for step in range(3):
        monitor.feed(event(step, level=2))
    assert [name for name, _ in failures] == ["the rule odd"]
    diagnosis = diagnose(monitor)
    assert "above" in [finding.rule for finding in diagnosis.findings]
    (unchecked,) = diagnosis.not_checked
    assert unchecked.rule == "odd"
    assert says in unchecked.how


def test_a_verdict_is_no_more_severe_than_its_rule():
    class Loud(Above):
        """Says more than it declares."""

        severity = Severity.INFO

    monitor, _ = fed([2, 20], [Loud])
    assert [finding.severity for finding in diagnose(monitor).findings] == ["info"]


def test_a_verdict_of_numpy_numbers_is_one_of_plain_numbers():
    class Odd(Above):
        """It computes with numpy."""

        def observe(self, at):
            return verdict(onset=np.int64(at.step), confidence=np.float32(0.5), last_good_step=np.int64(0))

    monitor, _ = fed([2], [Odd])
    (finding,) = diagnose(monitor).findings
    assert (finding.onset_step, finding.confidence, finding.last_good_step) == (0, 0.5, 0)
    assert msgspec.json.encode(finding)


def test_a_rule_without_its_metric_is_not_checked_and_says_how():
    monitor = Monitor(RunContext(), [Above])
    monitor.feed(event(1, loss=2))
    (unchecked,) = diagnose(monitor).not_checked
    assert (unchecked.rule, unchecked.needs, unchecked.how) == ("above", ["level"], "log the level")


def test_what_a_rule_needs_is_needed_of_records_alone():
    seen = []

    class Ending(Above):
        """It sees the end, too."""

        kinds = ("log", "end")

        def observe(self, at):
            seen.append(at.kind)

    monitor = Monitor(RunContext(), [Ending])
    monitor.feed(event(1, loss=1.0))
    monitor.feed(event(2, level=1.0))
    monitor.observe(Observation(2, "end", {}))
    assert seen == ["log", "end"]


def test_a_rule_of_another_algorithm_is_not_there():
    class ForDpo(Above):
        """For DPO."""

        algorithms = frozenset({"dpo"})

    assert not Monitor(RunContext(algorithm="grpo"), [ForDpo]).rules
    assert Monitor(RunContext(algorithm="dpo"), [ForDpo]).rules
    assert Monitor(RunContext(), [ForDpo]).rules


def test_values_that_are_not_finite_reach_rules_but_no_track():
    seen = []

    class Seeing(Rule):
        """Sees."""

        code, name, severity = "TST009", "seeing", Severity.INFO
        needs = ("level",)

        def start(self):
            self.track = self.chart.track("level")

        def observe(self, at):
            seen.append((at.values["level"], self.track.count))

    monitor = Monitor(RunContext(), [Seeing])
    monitor.feed(event(1, level=1.0))
    monitor.feed(event(2, "train", ("nonfinite:level=inf",), level=None))
    monitor.feed(event(3, "train", ("nonfinite:level=none",), level=None))
    assert seen == [(1.0, 1), (float("inf"), 1), (None, 1)]


def test_more_shapes_of_records_than_are_remembered_are_judged_too():
    monitor = Monitor(RunContext(), [Above])
    for step in range(200):
        monitor.feed(event(step, level=2, **{f"extra{step}": 1}))
    assert len(monitor._shapes) <= 64
    assert next(iter(monitor.incidents.values())).last_step == 199


def test_memory_of_steps_is_bounded():
    monitor, _ = fed([0] * 3000 + [2])
    assert next(iter(monitor.incidents.values())).last_good_step == 2999
    assert len(monitor._steps) <= 1000


def test_evidence_is_json_whatever_a_rule_gives():
    class Odd(Above):
        """It computes with numpy."""

        def observe(self, at):
            evidence = {
                "mean": np.float64(0.5),
                "series": np.array([1.0, np.nan]),
                "steps": [np.int64(3), float("inf")],
                7: {"set": {1}, "none": None, "flag": True},
            }
            return Verdict(severity=Severity.WARNING, message="odd", evidence=evidence)

    monitor, _ = fed([2], [Odd])
    (finding,) = diagnose(monitor).findings
    assert finding.evidence == {
        "mean": 0.5,
        "series": [1.0, "nan"],
        "steps": [3, "inf"],
        "7": {"set": "{1}", "none": None, "flag": True},
    }
    assert msgspec.json.encode(finding)


@pytest.mark.parametrize(
    "members",
    [
        {"causes": lambda _: None},
        {"causes": lambda _: ["x"]},
        {"causes": lambda _: [LikelyCause("x", likelihood=None)]},
        {"causes": lambda _: [LikelyCause(5)]},
        {"causes": lambda _: [LikelyCause("x", (Remedy(None),))]},
        {"causes": raises},
        {"explains": raises},
        {"summary": classmethod(raises)},
        {"observe": lambda *_: verdict(evidence={"x": UnreadableError()})},
    ],
)
def test_a_rule_that_fails_to_explain_its_finding_costs_no_finding(members):
    kind = type("Odd", (Above,), {"code": "TST020", "name": "odd", **members})
    monitor, _ = fed([2, 2], [kind, Above])
    diagnosis = diagnose(monitor)
    assert sorted(finding.rule for finding in diagnosis.findings) == ["above", "odd"]
    assert msgspec.json.encode(diagnosis)
    assert str(diagnosis)


def test_a_rule_that_cannot_say_what_it_needs_is_not_checked():
    monitor = Monitor(RunContext(), [type("Odd", (Above,), {"name": "odd", "inputs": raises})])
    assert [one.rule for one in diagnose(monitor).not_checked] == ["odd"]


def test_causes_with_numbers_of_numpy_are_told():
    causes = [LikelyCause("unlikely", likelihood=np.float32(0.1)), LikelyCause("likely", likelihood=1)]
    monitor, _ = fed([2], [type("Odd", (Above,), {"causes": lambda _: causes})])
    assert diagnose(monitor).findings[0].causes == ["likely", "unlikely"]


def test_findings_that_explain_each_other_in_a_circle_are_all_reported():
    def explained(name, code, worst, *names):
        given = verdict(severity=worst, explained_by=names)
        members = {"name": name, "code": code, "observe": lambda *_: given}
        return type(name, (Above,), members)

    own = explained("own", "TST021", Severity.CRITICAL, "own")
    a = explained("a", "TST022", Severity.WARNING, "b")
    b = explained("b", "TST023", Severity.INFO, "c")
    c = explained("c", "TST024", Severity.CRITICAL, "a")
    below = explained("below", "TST025", Severity.INFO, "b")
    monitor, _ = fed([0], [own, a, b, c, below])
    diagnosis = diagnose(monitor)
    assert diagnosis.status == "critical"
    assert [(finding.rule, finding.caused_by) for finding in diagnosis.findings] == [
        ("own", None),
        ("c", None),
        ("b", "c"),
        ("a", "b"),
        ("below", "b"),
    ]


def test_findings_are_a_story():
    class Cause(Above):
        """First."""

        code, name = "TST010", "cause"

    class Effect(Above):
        """Then."""

        code, name = "TST000", "effect"
        explained_by = ("cause",)

    monitor, _ = fed([2, 20], [Effect, Cause])
    findings = diagnose(monitor).findings
    assert [(finding.rule, finding.caused_by) for finding in findings] == [
        ("cause", None),
        ("effect", "cause"),
    ]
    assert [finding.summary for finding in findings] == ["First.", "Then."]
    assert all(a.severity >= b.severity for a, b in pairwise(findings))


def test_the_stretches_in_which_it_held_are_kept_and_at_most_fifty():
    monitor, _ = fed([0, 2, 2, 0, 2, 0, 0, 0, 0, 2], [Above])
    assert monitor.incidents[monitor.rules[0]].spans == [(1, 2), (4, 4), (9, 9)]
    monitor, _ = fed([0, 2] * 40 + [0, 0, 2] * 30, [Above])
    spans = monitor.incidents[monitor.rules[0]].spans
    assert len(spans) == 50
    assert (spans[0][0], spans[-1]) == (1, (169, 169))
    assert all(a[1] < b[0] for a, b in pairwise(spans))


def test_a_finding_says_where_it_is_seen_and_what_the_level_was_compared_with():
    class Seen(Above):
        code, name = "TST030", "seen"
        shown_on = ("other|level", "nowhere", "lev*")

        def observe(self, at):
            return Verdict(
                severity=Severity.INFO, message="", evidence={}, baseline=np.float64(0.5), limit=float("inf")
            )

    monitor, _ = fed([2, 2], [Above, Seen])
    plain, seen = sorted(diagnose(monitor).findings, key=lambda finding: finding.rule)
    assert (plain.shown_on, plain.levels.baseline, plain.spans) == (["level"], None, [(0, 1)])
    assert (seen.shown_on, seen.levels.baseline, seen.levels.limit) == (["level"], 0.5, None)
    assert msgspec.json.encode(seen)

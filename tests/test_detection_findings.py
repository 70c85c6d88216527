"""What a finding states of a labelled run is true of the run: its steps, its words and its levels."""

import json
import re
from math import isclose, isfinite
from pathlib import Path

import pytest

from rldk.doctor.judge import diagnosis_of, monitor_of
from rldk.health import find_rule
from rldk.runs import open_run

BENCHMARK = Path(__file__).parents[1] / "benchmarks/detection"
PATHS = [
    folder / "runs" / name
    for folder, every in ((BENCHMARK, 3), (BENCHMARK / "wide", 3))
    for name in sorted(json.loads((folder / "labels.json").read_text()))[::every]
]
ENDS = ("crash", "unfinished-run")
"""Rules of the end of a run: what ends after the last record leaves that record good."""
NO_LEVEL = ("crash", "dominant-reward-component", "missing-rewards", "non-finite", "stall", "unfinished-run")
"""Rules that compare no single metric with a level."""


@pytest.fixture(scope="module")
def judged():
    """Each run with its monitor and its findings."""
    runs = {}
    for path in PATHS:
        run = open_run(path)
        monitor = monitor_of(run)
        runs[path.name] = (run, monitor, diagnosis_of(run, monitor).findings)
    return runs


@pytest.fixture(scope="module")
def findings(judged):
    found = [
        (name, monitor, finding) for name, (_, monitor, all_of_it) in judged.items() for finding in all_of_it
    ]
    assert len(found) > 100
    return found


def test_the_steps_of_a_finding_are_in_order(findings):
    wrong = [
        (name, one.rule, one.onset_step, one.first_step, one.last_step)
        for name, monitor, one in findings
        if not one.onset_step <= one.first_step <= one.last_step <= monitor.last_step
    ]
    assert wrong == []


def test_the_last_good_step_is_before_the_onset(findings):
    wrong = [
        (name, one.rule, one.last_good_step, one.onset_step)
        for name, _, one in findings
        if one.last_good_step is not None and not one.last_good_step < one.onset_step and one.rule not in ENDS
    ]
    assert wrong == []


def test_no_last_good_step_is_one_at_which_another_alarm_held(judged):
    wrong = [
        (name, one.rule, one.last_good_step, other.rule)
        for name, (_, _, found) in judged.items()
        for one in found
        for other in found
        if other.severity != "info"
        and not other.code.startswith("SYS")
        and not one.code.startswith("SYS")
        and one.last_good_step is not None
        and other.onset_step <= one.last_good_step <= other.last_step
    ]
    assert wrong == []


def test_what_is_over_ended_before_the_run_did(findings):
    over = [(name, monitor, one) for name, monitor, one in findings if "it lasted until" in one.message]
    assert len(over) > 10
    assert [(name, one.rule) for name, monitor, one in over if one.last_step >= monitor.last_step] == []


def test_the_stretches_of_a_finding_are_in_order_and_end_where_it_last_held(findings):
    for name, _, one in findings:
        flat = [step for span in one.spans for step in span]
        assert flat == sorted(flat), (name, one.rule)
        assert flat[-1] == one.last_step, (name, one.rule)


def test_a_finding_about_a_metric_names_it_and_its_levels(findings):
    bare = [
        (name, one.rule)
        for name, _, one in findings
        if find_rule(one.rule).phases
        and one.rule not in NO_LEVEL
        and not one.code.startswith("SET")
        and (not one.shown_on or (one.levels.baseline is None and one.levels.limit is None))
    ]
    assert bare == []


def test_the_numbers_of_a_metric_lie_within_its_range(judged):
    """Means and medians of a series are within its range, so evidence by a canonical name is too."""
    wrong, count = [], 0
    for name, (run, _, found) in judged.items():
        low, high = ranges(run)
        for one in found:
            for metric, given in one.evidence.items():
                values = given if isinstance(given, list) else [given]
                for value in values:
                    if metric in low and isinstance(value, float | int) and isfinite(value):
                        count += 1
                        if not within(value, low[metric], high[metric]):
                            wrong.append((name, one.rule, metric, value, low[metric], high[metric]))
    assert count > 200
    assert wrong == []


def ranges(run):
    low, high = {}, {}
    for at in run.observations():
        if at.kind != "log":
            continue
        for metric, value in at.values.items():
            if value is not None and isfinite(value):
                low[metric] = min(low.get(metric, value), value)
                high[metric] = max(high.get(metric, value), value)
    return low, high


def within(value, low, high):
    return low <= value <= high or isclose(value, low, rel_tol=1e-3) or isclose(value, high, rel_tol=1e-3)


def test_a_message_never_names_a_change_from_a_value_to_the_same(findings):
    changes = [
        (name, one.rule, one.message)
        for name, _, one in findings
        for before, after in re.findall(r"(?:from|went from) (-?[\d.e+-]+) to (-?[\d.e+-]+)", one.message)
        if before == after
    ]
    assert changes == []


def test_a_rise_is_a_rise_and_a_fall_is_a_fall(findings):
    pattern = r"(rose|grew|jumped|fell|shrank) from (-?\d[\d.e+-]*)(?: \([^)]*\))? to (-?\d[\d.e+-]*)"
    wrong, count = [], 0
    for name, _, one in findings:
        for verb, before, after in re.findall(pattern, one.message):
            count += 1
            rises = float(after.rstrip(".")) > float(before.rstrip("."))
            if rises != (verb in ("rose", "grew", "jumped")):
                wrong.append((name, one.rule, one.message))
    assert count > 50
    assert wrong == []


def test_a_message_does_not_name_another_onset_than_the_page(findings):
    wrong = [
        (name, one.rule, one.onset_step, one.message)
        for name, _, one in findings
        for step in re.findall(r"since step ([\d,]+)", one.message)
        if int(step.replace(",", "")) != one.onset_step
    ]
    assert wrong == []

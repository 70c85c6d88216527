"""The doctor on trainings recorded with everything on: each fault by its name, with samples that show it."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from rldk.health import RULES
from rldk.runs import open_run

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "detection"))
import score_inside
from inside.table import ROWS, by_run

ONLINE = ("grpo", "rloo")
NAMES = {rule.name for rule in RULES}


@pytest.fixture(scope="module")
def judged():
    return score_inside.all_judged()


def test_every_fault_is_named_with_the_samples_that_show_it(judged):
    ill = [one for one in judged if one.row.fault]
    assert len(ill) > 40
    assert [(one.scored.run.name, one.outcome, one.scored.by) for one in ill if one.outcome != "named"] == []


def test_no_healthy_run_gives_an_alarm_live_or_afterwards(judged):
    well = [one for one in judged if not one.row.fault]
    assert len(well) >= 24
    assert [(one.scored.run.name, one.scored.by) for one in well if one.outcome != "silent"] == []


def test_table_and_runs_belong_together():
    assert {folder.name for folder in score_inside.RUNS.iterdir()} == set(by_run())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_label(row):
    assert row.expected | row.also_true <= NAMES
    assert not row.expected & row.also_true
    assert bool(row.fault) == bool(row.expected)
    assert row.fault or not row.linked


@pytest.mark.parametrize("name", sorted(by_run()))
def test_run_was_recorded_with_everything_on(name):
    row, run = by_run()[name], open_run(score_inside.RUNS / name)
    events = list(run)
    assert run.bad_lines == []
    assert run.algorithm == row.trainer
    assert Counter(event.phase for event in events)["train"] >= 20
    assert any("resource/process_memory" in event.metrics for event in events)
    assert run.files.resources().exists()
    assert run.files.checkpoints.exists() or events[-1].step == 20  # it died right after its first save
    assert run.files.samples.exists() == (row.trainer in ONLINE)
    assert (len(run.samples()) > 0) == (row.trainer in ONLINE)

"""The wide set: its labels follow from the table and from what was measured, and the doctor can judge it."""

import gzip
import json
import random
import sys
from collections import Counter
from pathlib import Path

import pytest

from rldk.health import RULES
from rldk.runs import open_run

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "detection"))
import label_wide
import score
from tasks import TASKS
from wide.row import Row
from wide.table import ROWS, by_run

NAMES = {rule.name for rule in RULES}
RUNS = label_wide.FOLDER / "runs"
TRAINED = sorted(folder.name for folder in RUNS.iterdir())


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    runs = [
        *score.labelled_set(score.WIDE),
        *score.states(score.WIDE, tmp_path_factory.mktemp("states")),
    ]
    return [score.score(run, *score.ask_rldk(run)) for run in runs]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row(row):
    assert row.expected | row.also_true <= NAMES
    assert bool(row.fault) == bool(row.expected) == bool(row.why)
    assert row.task in TASKS


def test_a_third_of_the_rows_is_healthy():
    healthy = sum(not row.fault for row in ROWS)
    assert len(ROWS) / 4 < healthy < len(ROWS) / 2


def test_every_run_has_a_row():
    assert set(TRAINED) <= set(by_run())


def test_labels_are_what_table_and_measurements_say():
    assert label_wide.FILE.read_text() == label_wide.table()


@pytest.mark.parametrize("name", TRAINED)
def test_run(name):
    row, run = by_run()[name], open_run(RUNS / name)
    phases = Counter(event.phase for event in run)
    assert phases["train"] >= 15
    assert run.bad_lines == []
    assert run.algorithm == row.trainer
    measured = json.loads((RUNS / name / "truth.json").read_text())
    assert measured[0][0] == 0
    if row.trainer != "reward":  # one that was not trained yet is at chance, or below it
        assert 0.1 <= measured[0][1] <= 0.9
    state = json.loads(gzip.decompress((RUNS / name / "trainer_state.json.gz").read_bytes()))
    logged = {entry["step"] for entry in state["log_history"]}
    assert logged <= {event.step for event in run}


@pytest.mark.parametrize(
    ("ill", "measured", "losses", "verdict"),
    [
        ("lost", [0.5, 0.4, 0.3, 0.3], [], "ill"),
        ("lost", [0.5, 0.8, 0.8, 0.55, 0.55], [], "ill"),
        ("lost", [0.5, 0.5, 0.6, 0.7], [], "healthy"),
        ("lost", [0.5, 0.3, 0.6, 0.7], [], "arguable"),
        ("lost", [0.5, 0.5, 0.5, 0.5], [], "arguable"),
        ("stood", [0.5, 0.5, 0.5, 0.5], [], "ill"),
        ("stood", [0.5, 0.5, 0.6, 0.6], [], "arguable"),
        ("overfitted", [0.5, 0.5, 0.6, 0.6], [1.0, 0.5, 0.6], "ill"),
        ("overfitted", [0.5, 0.5, 0.6, 0.6], [1.0, 0.5, 0.52], "arguable"),
        ("always", [0.5, 0.5, 0.6, 0.6], [], "ill"),
    ],
)
def test_the_outcome_decides_whether_a_fault_made_it_ill(ill, measured, losses, verdict):
    row = Row("x", "grpo", "sums", fault="a fault", ill=ill)
    assert label_wide.verdict(row, measured, losses) == verdict


def test_a_healthy_row_that_lost_its_accuracy_is_not_scored():
    row = Row("x", "grpo", "sums")
    assert label_wide.verdict(row, [0.5, 0.5, 0.55, 0.6], []) == "healthy"
    assert label_wide.verdict(row, [0.5, 0.3, 0.3, 0.3], []) == "unscored"
    assert label_wide.verdict(row, [0.5, 0.2, 0.6, 0.7], []) == "unscored"


def test_no_prompt_that_is_learned_from_is_held_out():
    for task in TASKS.values():
        chance = random.Random(1)
        asked = set(task.held_out(64))
        assert not asked & {task.training(chance) for _ in range(500)}
        for prompt in asked:
            assert task.exact(prompt, task.answer(prompt).split()) == 1
            assert all(check(prompt, task.answer(prompt).split()) == 1 for check in task.checks.values())
            assert task.exact(prompt, task.wrong(chance, prompt).split()) == 0
            assert len(task.answer(prompt).split()) < task.limit


def test_every_run_and_every_trainer_state_can_be_judged(scored):
    assert len(scored) > len(TRAINED)
    assert [one.run.name for one in scored if one.outcome == "not read"] == []

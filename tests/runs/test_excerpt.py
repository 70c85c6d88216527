"""A log that begins in the middle of its training is known by its own numbers."""

import json
from pathlib import Path

import pytest

from rldk.doctor.judge import judge
from rldk.runs.adapters.progress_bar import Bar
from rldk.runs.excerpt import FirstRows, begins_late
from rldk.runs.opener import open_run

RUNS = Path(__file__).parents[2] / "benchmarks/detection/runs"
OF_THE_START = {"broken-start", "reference-mismatch"}


def rows(steps=(), epochs=(), rates=()):
    first = FirstRows()
    for index in range(max(len(steps), len(epochs), len(rates))):
        at = [values[index] if index < len(values) else None for values in (steps, epochs, rates)]
        first.add(*at)
    return first


@pytest.mark.parametrize(
    "first",
    [
        rows(steps=[1]),
        rows(steps=[1, 2, 3]),
        rows(steps=[10, 20, 30]),
        rows(steps=[1, 10, 20]),
        rows(steps=[0, 1]),
        rows(epochs=[0.0, 0.0, 0.01]),
        rows(epochs=[0.02, 0.04, 0.06]),
        rows(epochs=[0.01]),
        rows(rates=[0.0, 1e-6, 2e-6, 3e-6, 4e-6]),
        rows(rates=[1e-6, 2e-6, 3e-6, 4e-6]),
        rows(rates=[1e-6] * 5),
        rows(rates=[9e-7, 8e-7, 7e-7, 6e-7]),
    ],
)
def test_a_beginning_is_no_excerpt(first):
    assert not begins_late(first, [Bar(0, 100), Bar(1, 100)])


@pytest.mark.parametrize(
    "first",
    [
        rows(epochs=[0.9]),  # nothing proves that a single row is the first
        rows(steps=[5]),
        rows(steps=[246, 247]),
        rows(steps=[500, 510, 520]),
        rows(epochs=[0.51, 0.52]),
        rows(epochs=[0.24, 0.24, 0.25]),
        rows(rates=[4.9e-6, 5.0e-6, 5.1e-6, 5.2e-6]),
    ],
)
def test_the_first_rows_prove_an_excerpt(first):
    assert begins_late(first, ())


def test_the_bar_of_the_training_proves_an_excerpt():
    loading = [Bar(0, 4), Bar(4, 4)]
    assert begins_late(rows(epochs=[0.01, 0.01]), [*loading, Bar(246, 900), Bar(247, 900), Bar(248, 900)])
    assert not begins_late(rows(epochs=[0.01, 0.01]), [*loading, Bar(1, 900), Bar(2, 900), Bar(3, 900)])


@pytest.mark.parametrize("kept", [("epoch",), ("epoch", "step")], ids=["epochs", "steps"])
@pytest.mark.parametrize("name", ["grpo-clean-s1", "grpo-clean-lora-s1", "dpo-clean-s1"])
def test_no_slice_of_a_healthy_log_has_a_finding_about_its_start(name, kept, tmp_path):
    logged = [
        {"step": event.step, **event.metrics}
        for event in open_run(RUNS / name)
        if event.model_info.phase == "train"
    ]
    for begin in range(20, len(logged) - 16, 23):
        part = logged[begin : begin + 16]
        path = tmp_path / f"from_{begin}.jsonl"
        dropped = {"epoch", "step"} - {*kept}
        lines = [{key: row[key] for key in row if key not in dropped} for row in part]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        run = open_run(path)
        assert run.context().is_excerpt, begin
        assert OF_THE_START.isdisjoint(finding.rule for finding in judge(run).findings), begin


@pytest.mark.parametrize(("step", "judged"), [(1, True), (300, False)])
def test_values_of_an_excerpt_are_not_judged_as_a_beginning(step, judged, tmp_path):
    path = tmp_path / "log.jsonl"
    lines = [{"step": step + at, "reward": 0.1, "entropy": 6.4, "kl": 0.5} for at in range(6)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = {finding.rule for finding in judge(open_run(path)).findings}
    assert (found & OF_THE_START == OF_THE_START) is judged
    assert bool(found & OF_THE_START) is judged

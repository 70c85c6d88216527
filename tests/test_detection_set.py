"""The labelled set of benchmarks/detection: every label has its run, every run reads as one of ours."""

import json
from collections import Counter
from pathlib import Path

import pytest

from rldk.health import RULES
from rldk.runs import open_run

SET = Path(__file__).resolve().parent.parent / "benchmarks" / "detection"
LABELS = json.loads((SET / "labels.json").read_text())
NAMES = {rule.name for rule in RULES}


def test_labels_and_runs_belong_together():
    assert {folder.name for folder in (SET / "runs").iterdir()} == set(LABELS)


@pytest.mark.parametrize("name", sorted(LABELS))
def test_run(name):
    label = LABELS[name]
    run = open_run(SET / "runs" / name)
    phases = Counter(event.phase for event in run)
    assert phases["train"] >= 15
    assert run.bad_lines == []
    assert run.algorithm == label["trainer"]
    assert ("note" in json.loads(run.files.run.read_text())) == (label["kind"] == "simulated")


@pytest.mark.parametrize("name", sorted(LABELS))
def test_label(name):
    label = LABELS[name]
    assert set(label["expected"]) | set(label["also_true"]) <= NAMES
    assert not set(label["expected"]) & set(label["also_true"])
    if label["clean"]:
        assert not label["expected"]
    else:
        assert label["fault"]
        assert LABELS[label["clean_sibling"]]["clean"]
        assert label["shows"]
        assert label["onset"] >= 1
    for other in ("remedy_run", "remedy_of"):
        assert label[other] is None or label[other] in LABELS


def test_every_fault_has_two_seeds():
    seeds = Counter(
        (label["scenario"], label["logging_steps"]) for label in LABELS.values() if not label["remedy_of"]
    )
    assert [key for key, count in seeds.items() if count < 2] == []


def test_simulated_series_are_made_again_from_their_seed(monkeypatch):
    monkeypatch.syspath_prepend(str(SET))
    import simulated

    stored = open_run(SET / "runs" / "sim-stall-s2").columns()
    series = next(series for series in simulated.SERIES if series.name == "sim-stall")
    made = list(simulated.events(series, 2, "sim-stall-s2"))
    assert [event.wall_time for event in made] == pytest.approx(stored["wall_time"], rel=1e-3)
    assert [event.metrics["reward_mean"] for event in made] == pytest.approx(stored["reward_mean"], rel=1e-3)

"""The doctor on the labelled set: every failure by its right cause, no false alarm, live as afterwards."""

import sys
from pathlib import Path

import msgspec
import pytest

from events import event, found_in, write_run
from recording_one import begin
from rldk.doctor.judge import judge
from rldk.health import Severity
from rldk.recording.writer import JsonlWriter
from rldk.runs import RecordedRun, open_run

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks" / "detection"))
import score

RUNS = {run.name: run for run in score.labelled_set()}


@pytest.fixture(scope="module")
def scored():
    """Each run with what rldk makes of it."""
    return [score.score(run, *score.ask_rldk(run)) for run in RUNS.values()]


@pytest.mark.parametrize("kind", ["trained", "simulated"])
def test_every_failure_is_named_for_the_right_cause(scored, kind):
    ill = [one for one in scored if one.run.kind == kind and one.run.verdict == "ill"]
    assert len(ill) > 30
    assert [(one.run.name, one.outcome, one.by) for one in ill if one.outcome != "named"] == []


@pytest.mark.parametrize("kind", ["trained", "simulated"])
def test_no_run_without_a_fault_gives_an_alarm_at_any_time(scored, kind):
    well = [one for one in scored if one.run.kind == kind and one.run.verdict != "ill"]
    assert len(well) > 10
    assert [(one.run.name, one.by) for one in well if one.outcome != "silent"] == []


def test_abrupt_faults_are_named_within_ten_records(scored):
    delays = sorted(one.delay for one in scored if one.run.abrupt and one.delay is not None)
    assert len(delays) > 20
    assert delays[len(delays) // 2] <= 10


def test_every_run_is_judged_alike_live_and_afterwards(tmp_path, monkeypatch):
    monkeypatch.setattr(JsonlWriter, "sync", lambda self: None)
    for run in RUNS.values():
        stored = open_run(run.path)
        about = stored.info.newest.recorded
        recorder = begin(tmp_path / run.name, about=about, write=lambda *_: None)
        for one in stored:
            recorder.record(msgspec.structs.replace(one, notes=_without_resume(one.notes)))
        recorder.close()
        live = recorder.live_doctor.diagnosis()
        assert found_in(RecordedRun(recorder.files)) == live, run.name


def _without_resume(notes):
    return tuple(note for note in notes if not note.startswith("resumed:"))


def unremarkable(records, **metrics):
    return [event(step, loss=0.01, grad_norm=1.0, **metrics) for step in range(1, records + 1)]


@pytest.mark.parametrize(
    "events",
    [
        unremarkable(12, reward_mean=0.5, entropy_mean=0.7),
        [event(step, entropy_mean=0.7) for step in range(200)],
        [],
        [event(step, learning=0.5) for step in range(100)],
    ],
    ids=["twelve records", "no reward and no loss", "empty", "unknown keys"],
)
def test_too_little_to_judge_is_said_and_nothing_is_guessed(tmp_path, events):
    diagnosis = judge(RecordedRun(write_run(tmp_path, *events)))
    assert diagnosis.status == "insufficient-data"
    assert diagnosis.findings == []
    assert diagnosis.not_checked


@pytest.mark.parametrize(
    ("events", "rule"),
    [
        (
            [event(s, "train", ("nonfinite:grad_norm=nan",), loss=0.0, grad_norm=None) for s in (1, 2)],
            "non-finite",
        ),
        (
            [
                event(
                    s, loss=0.0, grad_norm=0.0, token_accuracy_mean=0.0, entropy_mean=2.0, num_tokens=s * 100
                )
                for s in (1, 2, 3)
            ],
            "labels-masked",
        ),
        (
            [event(1, reward_mean=0.1, sampling_logp_difference_mean=0.996, entropy_mean=6.4, loss=0.1)],
            "broken-start",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_wait_is_named_in_runs_of_a_few_records(tmp_path, events, rule):
    found = {one.rule for one in judge(RecordedRun(write_run(tmp_path, *events))).at_least(Severity.WARNING)}
    assert rule in found

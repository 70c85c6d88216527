"""A session without a trainer: one run in one process, or what another rank measures for it."""

import json
import threading
from types import SimpleNamespace

import pytest

from events import logged
from rldk.health import Settings
from rldk.recording import beginning
from rldk.recording.beginning import Plan
from rldk.recording.guard import Guard
from rldk.recording.options import RecordingOptions
from rldk.recording.rank_notices import SingleProcess
from rldk.recording.session import Session, TrainingFacts
from rldk.report.final_report import write_end
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles


def options(folder, **changes):
    given = {
        "output_dir": folder,
        "run_id": "r",
        "enable_jsonl_logging": True,
        "enable_resource_monitoring": False,
        "enable_checkpoint_analysis": False,
        "samples_per_step": 4,
        "alert_thresholds": None,
        "select": None,
        "ignore": None,
        "truth_metric": None,
        "stop_on": None,
        "rotate_mb": None,
        "compress": False,
        "flush_interval": 0.0,
    }
    return RecordingOptions(**(given | changes))


def plan(folder, lines):
    return Plan(
        folder=folder,
        run_id="r",
        default="x",
        trainer_dir=str(folder / "out"),
        about={},
        settings=Settings(),
        writing={},
        write_end=lambda files, *ended: write_end(files, RecordedRun(files), *ended),
        print_line=lines.append,
    )


class Notices:
    """The notices of one of two ranks, which meet in a dict."""

    world_size = 2
    is_available = True

    def __init__(self, rank, store):
        self.rank, self._store = rank, store

    def publish(self, what, text):
        self._store[what, self.rank] = text

    def read(self, what, rank):
        return self._store.get((what, rank))


def facts(folder):
    return TrainingFacts(trainer_dir=folder, rewards_key=SimpleNamespace())


@pytest.fixture
def lines():
    return []


@pytest.fixture
def session(tmp_path, lines):
    return Session(options(tmp_path), Guard(), plan(tmp_path, lines))


def run(folder):
    return RecordedRun(RunFiles(folder, "r"))


def test_a_training_is_recorded_from_its_beginning_to_its_end(tmp_path, lines):
    others = set(threading.enumerate())

    def watchers():
        begun = {one.name for one in set(threading.enumerate()) - others}
        return begun & {"rldk-watchdog", "rldk-resources"}

    session = Session(options(tmp_path, enable_resource_monitoring=True), Guard(), plan(tmp_path, lines))
    session.begin()
    session.begin_training(facts(tmp_path), SingleProcess())
    for step in (1, 2):
        session.begin_step()
        session.end_step(step)
        session.log(logged(step))
    assert watchers() == {"rldk-watchdog", "rldk-resources"}
    session.end("completed")
    assert watchers() == set()
    assert [event.step for event in run(tmp_path)] == [1, 2]
    assert run(tmp_path).info.end.how == "completed"
    assert lines == [
        f"rldk: 2 records of r are in {tmp_path}; too little to judge. Look: rldk doctor {tmp_path / 'r'}"
    ]


def test_of_an_evaluation_alone_no_lock_stays_and_a_training_goes_on_in_its_run(session, tmp_path):
    session.begin()
    session.log(logged(0, "eval", eval_loss=1.0))
    assert run(tmp_path).state == "ended"
    session.begin_training(facts(tmp_path), SingleProcess())
    session.log(logged(1))
    assert run(tmp_path).state == "running"
    session.end("completed")
    assert [event.step for event in run(tmp_path)] == [0, 1]


def test_an_abandoned_training_ended_for_an_unknown_reason(session, tmp_path):
    session.begin()
    session.begin_training(facts(tmp_path), SingleProcess())
    session.log(logged(1))
    session.abandon()
    assert run(tmp_path).info.end.how == "unknown"


def test_an_exception_that_is_handled_ends_the_run(session, tmp_path):
    session.begin()
    session.begin_training(facts(tmp_path), SingleProcess())
    try:
        int("boom")
    except ValueError as error:
        session.fail(error)
    assert run(tmp_path).info.end.detail.startswith("ValueError: invalid")


@pytest.fixture
def held_up(session, monkeypatch):
    """A session whose run begins when it is told to."""
    go, claim = threading.Event(), beginning.claim

    def late_claim(*arguments, **named):
        go.wait(60)
        return claim(*arguments, **named)

    monkeypatch.setattr(beginning, "claim", late_claim)
    session.begin()
    assert session.beginning is not None
    yield go
    go.set()


def until_begun(session):
    while session.recorder is None:
        session.begin_step()


def test_what_is_logged_before_the_run_begins_is_recorded_as_if_it_had_begun(session, tmp_path, held_up):
    session.begin_training(facts(tmp_path), SingleProcess())
    for step in (1, 2):
        session.log(logged(step))
    held_up.set()
    until_begun(session)
    session.log(logged(3))
    session.end("completed")
    assert [event.step for event in run(tmp_path)] == [1, 2, 3]


def test_an_exception_before_the_run_begins_is_its_end(session, tmp_path, held_up):
    session.begin_training(facts(tmp_path), SingleProcess())
    session.log(logged(1))
    pending = session.beginning
    session.fail(ValueError("boom"))
    held_up.set()
    give_up = threading.Event()
    for _ in range(600):
        if pending.recorder is not None and pending.recorder.ended is not None:
            break
        give_up.wait(0.1)
    assert pending.recorder.ended.how == "exception"
    assert pending.recorder.ended.detail == "ValueError: boom"


def test_a_run_that_cannot_begin_costs_nothing_but_itself(session, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise MemoryError

    monkeypatch.setattr(beginning, "claim", refuse)
    with pytest.raises(MemoryError):
        session.begin()
    assert session.has_failed
    session.begin_training(facts(tmp_path), SingleProcess())
    session.begin_step()
    session.log(logged(1))
    session.end("completed")
    assert list(tmp_path.glob("*events*")) == []


def test_another_rank_learns_the_name_and_writes_its_own_file_alone(session, tmp_path):
    store = {}
    other = Session(options(tmp_path, enable_resource_monitoring=True), Guard(), None)
    other.begin()
    other.begin_training(facts(tmp_path), Notices(1, store))
    other.begin_step()
    other.end_step(1)
    session.begin()
    session.begin_training(facts(tmp_path), Notices(0, store))
    other.log(logged(1))
    other.end("completed")
    session.end("completed")
    lines = RunFiles(tmp_path, "r").resources(1).read_text().splitlines()
    assert "step_time" in [json.loads(line)["kind"] for line in lines]
    assert list(run(tmp_path)) == []


def test_a_rank_that_cannot_learn_the_name_watches_nothing(tmp_path):
    class Alone(Notices):
        is_available = False

    other = Session(options(tmp_path / "logs"), Guard(), None)
    other.begin_training(facts(tmp_path), Alone(1, {}))
    other.begin_step()
    other.end_step(1)
    assert other.rewards is None
    assert other.metrics("train", 1) == {}
    other.end("completed")
    assert not (tmp_path / "logs").exists()

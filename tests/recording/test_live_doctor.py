"""The doctor at a live run."""

import json
import time

import pytest

from events import event, found_in
from recording_one import begin
from rldk.health import RULES, Monitor, RunContext, diagnose
from rldk.recording.live_doctor import as_recorded
from rldk.runs import RecordedRun


def alerts(recorder):
    return json.loads(recorder.files.alerts.read_text())


def dead(recorder, steps):
    for step in steps:
        recorder.record(event(step, reward_mean=0.0, reward_std=0.0))


def test_an_alert_is_in_the_file_at_once_and_said_in_one_line(tmp_path, caplog):
    recorder = begin(tmp_path, about={"algorithm": "grpo"})
    dead(recorder, range(9))
    assert alerts(recorder) == []
    dead(recorder, [9])
    (alert,) = alerts(recorder)
    assert alert["step"] == 9
    assert alert["finding"]["rule"] == "dead-reward"
    assert alert["finding"]["onset_step"] == 0
    (line,) = [record.getMessage() for record in caplog.records if "dead-reward" in record.getMessage()]
    assert line.startswith("rldk: WARNING at step 9 (since step 0): dead-reward: each of the first 10 ")
    assert "\n" not in line
    recorder.close()


def test_a_finding_is_said_again_only_when_it_gets_worse(tmp_path):
    recorder = begin(tmp_path, about={"algorithm": "grpo"})
    dead(recorder, range(200))
    findings = [alert["finding"] for alert in alerts(recorder)]
    assert [one["severity"] for one in findings if one["rule"] == "dead-reward"] == ["warning", "critical"]
    recorder.close()


def test_a_resumed_run_keeps_its_alerts_and_says_none_again(tmp_path, caplog):
    recorder = begin(tmp_path, about={"algorithm": "grpo"})
    dead(recorder, range(12))
    before = alerts(recorder)
    assert len(before) == 1
    recorder.close()
    caplog.clear()
    recorder = begin(tmp_path, from_step=11, about={"algorithm": "grpo"})
    dead(recorder, range(12, 16))
    assert alerts(recorder) == before
    assert not [record for record in caplog.records if "dead-reward" in record.getMessage()]
    recorder.close()


def test_a_doctor_that_cannot_take_in_what_was_recorded_costs_no_recording(tmp_path, monkeypatch, caplog):
    begin(tmp_path).close()

    def broken(*_):
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("rldk.recording.live_doctor.LiveDoctor.resume", broken)
    recorder = begin(tmp_path, from_step=5)
    dead(recorder, range(6, 30))
    recorder.end("completed")
    assert RecordedRun(recorder.files).last().step == 29
    assert any("the doctor's begin failed, training goes on: ZeroDivisionError" in m for m in caplog.messages)
    recorder.close()


def test_what_a_kill_left_after_the_checkpoint_is_not_judged_again(tmp_path):
    recorder = begin(tmp_path, about={"algorithm": "grpo"})
    dead(recorder, range(12))  # the checkpoint is of step 5
    recorder.close()
    recorder = begin(tmp_path, from_step=5, about={"algorithm": "grpo"})
    assert recorder.live_doctor.monitor.records == 6
    dead(recorder, range(6, 30))
    recorder.end("completed")
    assert recorder.live_doctor.diagnosis() == found_in(RecordedRun(recorder.files))
    recorder.close()


def test_a_damaged_alerts_file_does_not_hinder_a_resume(tmp_path):
    recorder = begin(tmp_path)
    recorder.close()
    recorder.files.alerts.write_text("[{")
    recorder = begin(tmp_path, from_step=3)
    dead(recorder, range(4, 20))
    assert alerts(recorder)
    recorder.close()


def test_alerts_that_a_full_disk_refuses_are_written_when_it_has_room(tmp_path, monkeypatch):
    recorder = begin(tmp_path)

    def full(*_args, **_kwargs):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("rldk.recording.json_file.replacing", full)
        dead(recorder, range(12))
        assert json.loads(recorder.files.alerts.read_text()) == []
    give_up = time.monotonic() + 60
    while not json.loads(recorder.files.alerts.read_text()):  # nothing else is recorded meanwhile
        assert time.monotonic() < give_up
        time.sleep(0.05)
    assert recorder._guard.failures == 0
    recorder.close()


@pytest.mark.parametrize(
    "about", [{}, {"args": 3}, {"args": {"x": object()}}, {"algorithm": 3, "versions": []}]
)
def test_a_strange_configuration_gives_a_context(about):
    context = as_recorded(about)
    assert isinstance(context, RunContext)
    monitor = Monitor(context, RULES)
    monitor.begin()
    assert diagnose(monitor).status in ("insufficient-data", "info", "warning")

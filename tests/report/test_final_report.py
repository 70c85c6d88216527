"""The closing report and the files of the end."""

import json
import os

import pytest

from events import event, resumed, write_run
from rldk.health import Diagnosis, Monitor, RunContext, diagnose, select
from rldk.report.final_report import final_report, write_end
from rldk.runs import RecordedRun
from rldk.runs.metric_table import Survey
from rldk.schema.run_info import RunEnd

NOTHING = Diagnosis(status="insufficient-data", findings=[], not_checked=[])


def ending(**changes):
    return RunEnd(
        **{
            "how": "completed",
            "detail": None,
            "step": 3,
            "wall_time": 12.5,
            "time": "2025-01-01T00:00:00+00:00",
            "records": 3,
            "records_lost": 0,
            "records_in_memory": 0,
            "sync_error": None,
            "hook_failures": 0,
            **changes,
        }
    )


@pytest.fixture
def files(tmp_path):
    return write_run(
        tmp_path,
        event(1, reward_mean=0.1, loss=3.0, epoch=0.1),
        event(2, reward_mean=0.9, loss=1.0, epoch=0.2),
        event(2, "eval", eval_reward_mean=0.7),
        event(3, reward_mean=0.5, loss=None, epoch=0.3),
        event(3, "summary", train_runtime=9.0, loss=99.0),
    )


def test_resources_and_checkpoints_have_their_own_places(tmp_path):
    files = write_run(
        tmp_path, *(event(step, loss=1.0, **{"resource/process_memory": step / 2}) for step in (1, 2, 3))
    )
    analysis = {"path": "checkpoint-2", "step": 2, "tensors": 5, "resumable": True}
    files.checkpoints.write_text(json.dumps({"kind": "checkpoint", "step": 2, "analysis": analysis}) + "\n")
    report = final_report(files, Survey.of(RecordedRun(files)), ending(), NOTHING)
    assert report["resources"] == {"resource/process_memory": {"mean": 1.0, "max": 1.5, "last": 1.5}}
    assert list(report["metrics"]) == ["loss"]
    (saved,) = report["checkpoints"]
    assert (saved["step"], saved["good"]) == (2, True)
    assert "5 tensors" in saved["because"]


def test_every_figure_is_computed_from_the_events(files):
    report = final_report(files, Survey.of(RecordedRun(files)), ending(), NOTHING)
    assert report["run_id"] == "run"
    assert report["records"] == 5
    assert (report["first_step"], report["last_step"]) == (1, 3)
    assert report["wall_time"] == 12.5
    assert report["metrics"]["reward_mean"] == {"first": 0.1, "last": 0.5, "best": 0.9, "nonfinite": 0}
    assert report["metrics"]["eval_reward_mean"]["best"] == 0.7
    assert report["metrics"]["loss"]["first"] == 3.0
    assert report["metrics"]["loss"]["last"] == 1.0
    assert report["metrics"]["loss"]["nonfinite"] == 1
    assert report["metrics"]["train_runtime"]["last"] == 9.0
    assert report["metrics"]["epoch"]["best"] is None  # neither up nor down is better


def test_the_report_holds_the_diagnosis(files):
    monitor = Monitor(RunContext(algorithm="grpo"), select(["dead-reward", "zero-advantage"]))
    for step in range(80):
        monitor.feed(event(step, reward_mean=0.0, reward_std=0.0))
    report = final_report(files, Survey.of(RecordedRun(files)), ending(), diagnose(monitor))
    assert report["status"] == "critical"
    assert [(one["rule"], one["onset_step"]) for one in report["findings"]] == [("dead-reward", 0)]
    assert [one["rule"] for one in report["not_checked"]] == ["zero-advantage"]


def test_the_report_says_how_the_run_ended_and_what_was_lost(files):
    end = ending(
        how="exception",
        detail="ValueError: x",
        records_lost=5,
        records_in_memory=6,
        lines_lost=8,
        hook_failures=7,
    )
    report = final_report(files, Survey.of(RecordedRun(files)), end, NOTHING)
    assert report["end"] == {
        "how": "exception",
        "detail": "ValueError: x",
        "step": 3,
        "time": "2025-01-01T00:00:00+00:00",
        "where": None,
        "activity": None,
        "during": None,
    }
    assert report["lost"] == {
        "records": 5,
        "records_in_memory": 6,
        "records_delayed": 0,
        "longest_disk_wait": 0.0,
        "lines": 8,
        "sync_error": None,
        "hook_failures": 7,
    }


def test_a_superseded_branch_is_not_counted(tmp_path):
    files = write_run(tmp_path, *(event(step, loss=1.0) for step in range(1, 100)), resumed(11, 10, loss=2.0))
    report = final_report(files, Survey.of(RecordedRun(files)), ending(), NOTHING)
    assert (report["records"], report["last_step"]) == (11, 11)
    assert report["metrics"]["loss"]["last"] == 2.0


def test_a_run_without_a_record_has_a_report(tmp_path):
    files = write_run(tmp_path)
    report = final_report(files, Survey.of(RecordedRun(files)), ending(), NOTHING)
    assert (report["records"], report["first_step"], report["last_step"]) == (0, None, None)
    assert report["metrics"] == {}


def test_the_files_of_the_end_are_written_whole_and_agree(files):
    write_end(files, RecordedRun(files), ending(), NOTHING)
    report = json.loads(files.final_report.read_text())
    metrics = json.loads(files.metrics_json.read_text())
    assert report["records"] == len(metrics["steps"]) == 5
    assert len(files.metrics_csv.read_text().splitlines()) == 6
    assert report["metrics"]["reward_mean"]["last"] == metrics["summary"]["reward_mean"]["last"]
    assert files.events.name in report["files"]
    assert not [name for name in os.listdir(files.folder) if name.endswith(".tmp")]


def test_a_second_end_replaces_the_files_of_the_first(files):
    write_end(files, RecordedRun(files), ending(), NOTHING)
    files.events.write_bytes(b"")
    write_end(files, RecordedRun(files), ending(how="stopped"), NOTHING)
    report = json.loads(files.final_report.read_text())
    assert (report["records"], report["end"]["how"]) == (0, "stopped")
    assert json.loads(files.metrics_json.read_text())["steps"] == []


def test_events_that_cannot_be_read_to_the_end_leave_the_old_files(files):
    class Broken:
        def __iter__(self):
            yield event(1, loss=1.0)
            raise OSError("the disk is gone")

    write_end(files, RecordedRun(files), ending(), NOTHING)
    before = {path: path.read_bytes() for path in files.existing()}
    with pytest.raises(OSError, match="the disk is gone"):
        write_end(files, Broken(), ending(), NOTHING)
    assert {path: path.read_bytes() for path in files.existing()} == before

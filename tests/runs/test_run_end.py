"""How a run ended is read from its files; what is judged of it, live and afterwards, is the same."""

from datetime import datetime, timedelta

import msgspec
import pytest

from events import event
from recording_one import begin
from rldk.doctor.judge import judge
from rldk.health import Settings
from rldk.runs import RecordedRun
from rldk.schema.crash_file import ENDED
from rldk.schema.run_info import RunEnd, RunInfo


def recorded(tmp_path, how=None, detail=None):
    recorder = begin(tmp_path, about={"algorithm": "grpo"})
    for step in range(1, 30):
        recorder.record(
            event(step, reward_mean=0.1 + step % 7 / 30, reward_std=0.2, loss=0.1, grad_norm=1 + step % 5)
        )
    if how is not None:
        recorder.end(how, detail)
        recorder.close()
    else:  # a kill: the lock is free, and nothing was written
        recorder._lock.release()
        recorder._crash_recorder.end()
        recorder.disown()
    return RecordedRun(recorder.files)


def test_a_run_that_completed_says_nothing_of_its_end(tmp_path):
    diagnosis = judge(recorded(tmp_path, "completed"))
    assert diagnosis.status == "healthy"
    assert not {"crash", "unfinished-run"} & {one.rule for one in diagnosis.not_checked}


@pytest.mark.parametrize(
    ("how", "rule", "status"),
    [
        ("exception", "crash", "critical"),
        ("terminated", "crash", "warning"),
        ("interrupted", "unfinished-run", "info"),
        ("unknown", "unfinished-run", "info"),
        (None, "unfinished-run", "info"),
    ],
)
def test_a_run_that_did_not_end_well_is_judged_by_its_end(tmp_path, how, rule, status):
    diagnosis = judge(recorded(tmp_path, how, "a detail"))
    assert diagnosis.status == status
    assert [(one.rule, one.onset_step, one.last_good_step) for one in diagnosis.findings] == [(rule, 29, 29)]


def test_the_files_say_how_the_process_of_each_rank_ended(tmp_path):
    run = recorded(tmp_path)
    run.files.crash().write_text("Fatal Python error: Aborted\n\n")
    run.files.crash(2).write_text(f"{ENDED}\nhow: exception\ndetail: ValueError: boom\n")
    at = run.end_observation(29)
    assert (at.kind, at.step) == ("end", 29)
    assert at.ends == {
        0: RunEnd(how="native", detail="Aborted"),
        2: RunEnd(how="exception", detail="ValueError: boom"),
    }


def test_what_another_rank_left_before_the_newest_attempt_began_says_nothing_of_its_end(tmp_path):
    run = recorded(tmp_path)
    began = datetime.fromisoformat(run.info.newest.started)
    for rank, seconds in ((1, -1), (2, 0), (3, 1)):
        time = (began + timedelta(seconds=seconds)).isoformat()
        run.files.crash(rank).write_text(f"{ENDED}\nhow: exception\ntime: {time}\n")
    run.files.crash(4).write_text(f"{ENDED}\nhow: exception\ntime: yesterday\n")
    assert sorted(run.end_observation(29).ends) == [0, 2, 3, 4]


def test_what_run_json_says_of_the_end_wins_over_the_crash_file(tmp_path):
    run = recorded(tmp_path)
    run.files.crash().write_text(f"{ENDED}\nhow: exception\n")
    assert run.end_observation(29, RunEnd(how="completed")).ends[0].how == "completed"


def test_a_run_that_was_killed_ended_at_its_last_record(tmp_path):
    run = recorded(tmp_path)
    ended = datetime.fromisoformat(run.end_observation(29).ends[0].time)
    assert ended - datetime.fromisoformat(run.info.newest.started) == timedelta(seconds=29 // 2)


def test_the_last_train_record_says_what_the_machine_was_doing(tmp_path):
    recorder = begin(tmp_path)
    recorder.record(event(1, "train", loss=1.0, **{"resource/memory_used": 5.0}))
    recorder.record(event(1, "eval", eval_loss=1.0))
    recorder.close()
    assert RecordedRun(recorder.files).end_observation(1).values == {"resource/memory_used": 5.0}


@pytest.mark.parametrize("end", [["no"], {"how": 3}, {"how": "of a newer rldk", "detail": 5}])
def test_an_end_of_a_strange_kind_breaks_nothing(tmp_path, end):
    run = recorded(tmp_path)
    run.files.run.write_bytes(msgspec.json.encode(run.info.as_recorded() | {"end": end}))
    assert judge(run).status == "info"


def test_a_run_of_which_no_start_is_recorded_has_no_end(tmp_path):
    run = recorded(tmp_path)
    run.files.run.unlink()
    assert run.info == RunInfo()
    assert {"crash", "unfinished-run"} <= {one.rule for one in judge(run).not_checked}


def test_a_live_run_has_no_end_yet(tmp_path):
    recorder = begin(tmp_path)
    recorder.record(event(1, loss=1.0))
    assert "unfinished-run" not in [one.rule for one in judge(RecordedRun(recorder.files)).findings]
    recorder.close()


def test_an_end_is_judged_by_the_rules_that_were_chosen(tmp_path):
    run = recorded(tmp_path, "exception", "ValueError: boom")
    assert judge(run, settings=Settings(ignore=("crash",))).status == "healthy"
    assert judge(run, settings=Settings(select=("crash",))).status == "critical"


def test_a_hang_that_ended_a_run_of_two_ranks_was_not_over(tmp_path):
    run = recorded(tmp_path)
    steps = [{"kind": "step_time", "step": step, "seconds": 1.0} for step in range(1, 30)]
    stall = {"kind": "stall", "step": 29, "stalled_seconds": 400.0, "usual_seconds": 2.0, "seen_at_step": 29}
    for rank, lines in enumerate(([*steps, stall], steps)):
        run.files.resources(rank).write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
    findings = {one.rule: one for one in judge(run).findings}
    assert findings["stall"].severity == "critical"
    assert findings["unfinished-run"].caused_by == "stall"


def test_a_resume_that_ends_before_its_first_record_ended_after_the_step_from_which_it_went_on(tmp_path):
    recorder = begin(tmp_path, from_step=7)
    recorder.end("terminated", "SIGTERM")
    recorder.close()
    (crash,) = judge(RecordedRun(recorder.files)).findings
    assert (crash.onset_step, crash.message) == (7, "SIGTERM ended the run after step 7")
    assert recorder.live_doctor.diagnosis().findings == [crash]

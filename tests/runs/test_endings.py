"""What the end of a run shows."""

import pytest

from recording_one import begin
from rldk.health import RunContext, Settings, diagnose
from rldk.runs import Run
from rldk.runs.endings import with_ending
from rldk.runs.judging import judge
from samples import event


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
        recorder.disown()
    return Run(recorder.files)


def test_a_run_that_completed_says_nothing_of_its_end(tmp_path):
    diagnosis = judge(recorded(tmp_path, "completed"))
    assert diagnosis.status == "healthy"
    assert not {"crash", "unfinished-run"} & {one.rule for one in diagnosis.not_checked}


def test_an_exception_is_a_crash(tmp_path):
    run = recorded(tmp_path, "exception", "ValueError: boom")
    diagnosis = judge(run)
    assert diagnosis.status == "critical"
    (crash,) = diagnosis.findings
    assert (crash.rule, crash.onset_step) == ("crash", 29)
    assert "ValueError: boom" in crash.message
    assert "resume_from_checkpoint" in crash.remedies[0]


@pytest.mark.parametrize("how", ["interrupted", "unknown", None])
def test_another_end_is_information(tmp_path, how):
    diagnosis = judge(recorded(tmp_path, how))
    assert diagnosis.status == "info"
    assert [one.rule for one in diagnosis.findings] == ["unfinished-run"]


def test_memory_that_ran_out_has_its_own_advice():
    context = RunContext(algorithm="grpo", dialect="trl", options={"per_device_train_batch_size": 8})
    nothing = diagnose(Settings().monitor(context))
    detail = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB"
    (crash,) = with_ending(nothing, context, how="exception", detail=detail, step=7).findings
    assert crash.remedies[0] == "lower `per_device_train_batch_size` (now 8, try 4)"


def test_a_live_run_has_no_end_yet(tmp_path):
    recorder = begin(tmp_path)
    recorder.record(event(1, loss=1.0))
    assert "unfinished-run" not in [one.rule for one in judge(Run(recorder.files)).findings]
    recorder.close()

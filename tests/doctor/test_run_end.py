"""What the end of a run shows."""

from datetime import datetime, timedelta

import pytest

from events import event
from recording_one import begin
from rldk.doctor.judge import judge
from rldk.doctor.run_end import EndFacts, how_it_ended, with_ending
from rldk.health import Diagnosis, Finding, RunContext
from rldk.runs import Run
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


def test_a_signal_is_a_warning(tmp_path):
    diagnosis = judge(recorded(tmp_path, "terminated", "SIGTERM"))
    assert diagnosis.status == "warning"
    assert diagnosis.findings[0].message == "SIGTERM ended the run after step 29"


def ended(*found, options=None, **end):
    """The findings of a run that had these before, and ended so after step 50."""
    context = RunContext(algorithm="grpo", dialect="trl", options=options or {})
    before = [finding(rule, severity) for rule, severity in found]
    status = "critical" if before else "healthy"
    nothing = Diagnosis(status=status, findings=before, not_checked=[])
    diagnosis = with_ending(nothing, context, EndFacts(step=50, **end))
    return {one.rule: one for one in diagnosis.findings}


def finding(rule, severity, step=50):
    return Finding(
        rule=rule,
        code="X",
        severity=severity,
        confidence=1.0,
        onset_step=step,
        first_step=step,
        last_step=step,
        message="was found",
        evidence={},
        caused_by=None,
        causes=[],
        remedies=[],
        last_good_step=None,
        last_good_checkpoint=None,
        samples=[],
    )


OOM = "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
NAN = "RuntimeError: probability tensor contains either `inf`, `nan` or element < 0"
PEER = "RuntimeError: [gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:4242"


def test_memory_that_ran_out_has_its_own_advice():
    options = {"per_device_train_batch_size": 8}
    crash = ended(how="exception", detail=OOM, options=options)["crash"]
    assert crash.remedies[0] == "lower `per_device_train_batch_size` (now 8, try 4)"
    assert crash.evidence["tried_gib"] == 2.0
    assert crash.caused_by is None


def test_memory_that_crept_explains_that_it_ran_out():
    found = ended(("memory-creep", "warning"), how="exception", detail=OOM)
    assert found["crash"].caused_by == "memory-creep"


def test_what_the_record_says_of_memory_is_evidence():
    resources = {"resource/memory_used": 60.0, "resource/process_cpu": 100.0}
    crash = ended(how="exception", detail=OOM, resources=resources)["crash"]
    assert crash.evidence["resource/memory_used"] == 60
    assert "resource/process_cpu" not in crash.evidence


def test_nan_weights_are_the_cause():
    found = ended(how="exception", detail=NAN, activity="generation")
    assert found["crash"].caused_by == "non-finite"
    assert found["non-finite"].severity == "critical"
    assert found["non-finite"].last_good_step == found["crash"].last_good_step == 49
    assert "whose log was still healthy" in found["non-finite"].message


def test_nan_that_a_log_showed_is_not_told_twice():
    found = ended(("non-finite", "info"), how="exception", detail=NAN)
    assert found["non-finite"].message == "was found"
    assert found["non-finite"].severity == "critical"
    assert found["crash"].caused_by == "non-finite"


def test_nan_elsewhere_explains_no_other_crash():
    assert (
        ended(("non-finite", "warning"), how="exception", detail="ValueError: boom")["crash"].caused_by
        is None
    )


def test_a_rank_that_failed_first_is_named():
    other = RunEnd(how="exception", detail=OOM, activity="generation")
    crash = ended(how="exception", detail=PEER, ranks={1: other})["crash"]
    assert crash.message.startswith("rank 1 failed first, in generation: OutOfMemoryError")
    assert crash.severity == "critical"
    assert crash.causes == ["memory ran out"]


def test_a_launcher_ends_the_others_by_a_signal():
    other = RunEnd(how="native", detail="Segmentation fault", where="f (a.py:1)")
    crash = ended(how="terminated", detail="SIGTERM", ranks={3: other})["crash"]
    assert crash.message.startswith(
        "rank 3 failed first, in f (a.py:1): Segmentation fault; then SIGTERM ended"
    )
    assert crash.severity == "critical"


def test_a_rank_that_was_lost_without_a_word_is_to_be_looked_for():
    crash = ended(how="exception", detail=PEER, ranks={1: RunEnd(how="exception", detail=PEER)})["crash"]
    assert crash.message.startswith("the connection to another rank was lost")
    assert "other rank" in crash.causes[0]


def test_a_rank_of_its_own_fault_is_told_by_its_own_error():
    other = RunEnd(how="exception", detail="ValueError: theirs")
    crash = ended(how="exception", detail="ValueError: ours", ranks={1: other})["crash"]
    assert crash.message.endswith("ValueError: ours")
    assert "theirs" not in crash.message


@pytest.mark.parametrize("end", [{"how": "terminated", "detail": "SIGTERM"}, {"how": None}])
def test_a_stall_explains_that_the_run_was_ended(end):
    found = ended(("stall", "critical"), **end)
    assert (found.get("crash") or found["unfinished-run"]).caused_by == "stall"


def test_a_stall_that_was_over_explains_nothing():
    assert ended(("stall", "info"), how=None)["unfinished-run"].caused_by is None


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"memory_used": 62.0, "memory_total": 64.0}, "62 of 64 GiB of the machine's memory"),
        (
            {"memory_used": 60.0, "memory_total": 512.0, "memory_limit_used": 31.5, "memory_limit": 32.0},
            "31.5 of 32 GiB of the job's memory",
        ),
        ({"memory_used": 32.0, "memory_total": 64.0}, None),
        ({"memory_used": None, "memory_total": 64.0}, None),
        ({}, None),
    ],
)
def test_a_kill_where_memory_was_full_names_the_killer(resources, words):
    resources = {f"resource/{name}": value for name, value in resources.items()}
    found = ended(("memory-creep", "warning"), how=None, resources=resources)["unfinished-run"]
    assert ("out-of-memory killer is likely" in found.message) == (words is not None)
    assert words is None or words in found.message
    assert found.caused_by == ("memory-creep" if words else None)


def test_how_it_ended_is_read_from_the_files(tmp_path):
    run = recorded(tmp_path)
    run.files.crash().write_text("Fatal Python error: Aborted\n\n")
    run.files.crash(2).write_text(f"{ENDED}\nhow: exception\ndetail: ValueError: boom\n")
    end = how_it_ended(run, None, 29)
    assert (end.how, end.detail) == ("native", "Aborted")
    assert end.ranks == {2: RunEnd(how="exception", detail="ValueError: boom")}
    started = datetime.fromisoformat(run.info.newest.started)
    assert datetime.fromisoformat(end.last_record_time) - started == timedelta(seconds=29 // 2)


def test_an_end_of_a_strange_kind_breaks_nothing(tmp_path):
    run = recorded(tmp_path)
    for end in (["no"], {"how": 3}, {"how": "of a newer rldk", "detail": 5}):
        assert (
            with_ending(judge(run), RunContext(), how_it_ended(run, RunInfo.of({"end": end}).end, 3)).status
            == "info"
        )


def test_a_live_run_has_no_end_yet(tmp_path):
    recorder = begin(tmp_path)
    recorder.record(event(1, loss=1.0))
    assert "unfinished-run" not in [one.rule for one in judge(Run(recorder.files)).findings]
    recorder.close()

"""unfinished-run: which ends are one, and what the last record and other ranks say of a kill."""

import pytest

from events import event
from health.run_ends import OOM, STALLED, STEP, end, found
from rldk.health import Monitor, RunContext, diagnose
from rldk.health.rules.system.stall import Stall
from rldk.health.rules.system.unfinished_run import UnfinishedRun
from rldk.schema.run_info import NOT_CLOSED, RunEnd


def unfinished(*before, at):
    return found(*before, at=at)["unfinished-run"]


def test_a_kill_leaves_no_end():
    one = unfinished(at=end(time="2026-01-01T00:00:00+00:00"))
    assert (one.severity, one.onset_step, one.last_good_step) == ("info", STEP, STEP)
    assert one.message == (
        "no end was recorded: the process was killed, or its machine went down, after step 50; "
        "its last record is of 2026-01-01T00:00:00+00:00"
    )
    assert one.causes == ["a kill (SIGKILL, the out-of-memory killer, a time limit)"]
    assert "resume_from_checkpoint" in one.remedies[0]


def test_a_run_that_was_interrupted():
    one = unfinished(at=end("interrupted", "KeyboardInterrupt", activity="generation"))
    assert one.message == "the run was interrupted by hand after step 50, in generation"


def test_a_process_that_left_without_a_word():
    one = unfinished(at=end("unknown", "after SIGUSR1"))
    assert one.message.endswith("the last record is of step 50 (after SIGUSR1)")
    assert one.causes[0].startswith("sys.exit")


def test_a_loop_that_did_not_close_its_recording():
    one = unfinished(at=end("unknown", NOT_CLOSED))
    assert one.message == "the recording was not closed; its last record is of step 50"
    assert one.causes == ["the loop, or the script around it, ended without closing its recording"]
    assert "run.close()" in one.remedies[0]


def test_an_end_that_a_newer_version_recorded():
    assert unfinished(at=end("of a newer rldk")).message == "the run ended as 'of a newer rldk' after step 50"


@pytest.mark.parametrize("how", ["completed", "stopped", "exception", "native", "terminated"])
def test_another_end_is_none(how):
    assert "unfinished-run" not in found(at=end(how))


def test_a_run_whose_files_are_not_known_is_not_checked():
    (unchecked,) = diagnose(Monitor(RunContext(), [UnfinishedRun])).not_checked
    assert unchecked.how == "record the run with rldk: its files show whether it ended"


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
    one = unfinished("memory-creep", at=end(resources=resources))
    assert ("out-of-memory killer is likely" in one.message) == (words is not None)
    assert words is None or words in one.message
    assert one.caused_by == ("memory-creep" if words else None)


def test_a_rank_that_failed_first_is_the_cause():
    one = unfinished(at=end(ranks={2: RunEnd(how="exception", detail=OOM)}))
    assert one.causes == [f"rank 2 failed first: {OOM}"]
    assert one.remedies[0].startswith("lower `per_device_train_batch_size`")


def test_a_stall_explains_a_kill():
    assert unfinished(STALLED, at=end()).caused_by == "stall"


def test_a_stall_that_was_over_explains_nothing():
    monitor = Monitor(RunContext(), [Stall, UnfinishedRun])
    monitor.observe(STALLED)
    monitor.feed(event(STEP + 1, loss=0.1))
    monitor.observe(end())
    found = {one.rule: one for one in diagnose(monitor).findings}
    assert found["stall"].severity == "info"
    assert found["unfinished-run"].caused_by is None

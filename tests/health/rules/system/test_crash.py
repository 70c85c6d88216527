"""crash: which ends of a process are one, who failed first, what explains it."""

import pytest

from health.run_ends import NAN, OOM, PEER, STALLED, STEP, end, found
from rldk.health import Monitor, RunContext, diagnose, find_rule
from rldk.health.rules.system.crash import Crash
from rldk.schema.run_info import RunEnd


def crash(*before, at, options=None):
    return found(*before, at=at, options=options)["crash"]


def test_an_exception_is_a_crash():
    one = crash(at=end("exception", "ValueError: boom", activity="the reward function f (r.py:1)"))
    assert (one.severity, one.onset_step, one.last_good_step, one.confidence) == ("critical", STEP, STEP, 1.0)
    assert one.message == (
        "the run ended by an exception after step 50, in the reward function f (r.py:1): ValueError: boom"
    )
    assert one.causes == ["the reward function f (r.py:1) raises"]
    assert "resume_from_checkpoint" in one.remedies[0]


def test_an_error_below_python_is_a_crash():
    one = crash(at=end("native", "Segmentation fault", where="f (a.py:1)"))
    assert one.severity == "critical"
    assert one.message == "the process crashed below Python after step 50: Segmentation fault, in f (a.py:1)"


def test_a_signal_is_a_warning():
    one = crash(at=end("terminated", "SIGTERM", where="f (a.py:1)", during="a save"))
    assert one.severity == "warning"
    assert one.message == "SIGTERM ended the run after step 50, during a save"


@pytest.mark.parametrize("how", ["completed", "stopped", "interrupted", "unknown", None, "of a newer rldk"])
def test_another_end_is_none(how):
    assert "crash" not in found(at=end(how))


def test_a_run_whose_end_is_not_known_is_not_checked():
    (unchecked,) = diagnose(Monitor(RunContext(), [Crash])).not_checked
    assert (unchecked.rule, unchecked.needs) == ("crash", [])
    assert unchecked.how == "record the run with rldk: a log does not hold how the process ended"


def test_an_end_that_a_better_one_follows_is_forgotten():
    monitor = Monitor(RunContext(), [Crash])
    for how in ("exception", "completed"):  # the script caught it, and trained on
        monitor.observe(end(how))
    assert diagnose(monitor).findings == []


def test_memory_that_ran_out_has_its_own_advice():
    one = crash(at=end("exception", OOM), options={"per_device_train_batch_size": 8})
    assert one.remedies[0] == "lower `per_device_train_batch_size` (now 8, try 4)"
    assert one.evidence["tried_gib"] == 2.0
    assert one.caused_by is None


def test_what_the_record_says_of_memory_is_evidence():
    resources = {"resource/memory_used": 60.0, "resource/process_cpu": 100.0}
    one = crash(at=end("exception", OOM, resources=resources))
    assert one.evidence["resource/memory_used"] == 60
    assert "resource/process_cpu" not in one.evidence


@pytest.mark.parametrize(
    ("rule", "detail"),
    [("memory-creep", OOM), ("disk-nearly-full", "OSError: [Errno 28] No space left on device")],
)
def test_what_was_found_before_explains_it(rule, detail):
    assert find_rule(rule).name == rule
    assert crash(rule, at=end("exception", detail)).caused_by == rule
    assert crash(at=end("exception", detail)).caused_by is None
    assert crash(rule, at=end("exception", "ValueError: boom")).caused_by is None


def test_nan_weights_are_the_cause_and_the_last_step_is_not_good():
    findings = found(at=end("exception", NAN, activity="generation"))
    assert findings["crash"].caused_by == "non-finite"
    assert findings["non-finite"].last_good_step == findings["crash"].last_good_step == STEP - 1


def test_a_rank_that_failed_first_is_named():
    other = RunEnd(how="exception", detail=OOM, activity="generation")
    one = crash(at=end("exception", PEER, ranks={1: other}))
    assert one.message.startswith("rank 1 failed first, in generation: OutOfMemoryError")
    assert one.severity == "critical"
    assert one.causes == ["memory ran out"]


def test_a_launcher_ends_the_others_by_a_signal():
    other = RunEnd(how="native", detail="Segmentation fault", where="f (a.py:1)")
    one = crash(at=end("terminated", "SIGTERM", ranks={3: other}))
    assert one.message.startswith(
        "rank 3 failed first, in f (a.py:1): Segmentation fault; then SIGTERM ended"
    )
    assert one.severity == "critical"


def test_a_rank_that_was_lost_without_a_word_is_to_be_looked_for():
    one = crash(at=end("exception", PEER, ranks={1: RunEnd(how="exception", detail=PEER)}))
    assert one.message.startswith("the connection to another rank was lost")
    assert ["rank" in cause for cause in one.causes] == [True, True]


def test_a_rank_of_its_own_fault_is_told_by_its_own_error():
    other = RunEnd(how="exception", detail="ValueError: theirs")
    one = crash(at=end("exception", "ValueError: ours", ranks={1: other}))
    assert one.message.endswith("ValueError: ours")


@pytest.mark.parametrize(
    ("how", "detail", "cause"),
    [
        ("terminated", "SIGTERM", "stall"),
        ("exception", PEER, "stall"),
        ("exception", "ValueError: boom", None),
        ("native", "Aborted", None),
    ],
)
def test_a_stall_explains_an_end_from_outside(how, detail, cause):
    assert crash(STALLED, at=end(how, detail)).caused_by == cause

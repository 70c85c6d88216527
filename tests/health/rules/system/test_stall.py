"""SYS002 stall: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.system.common import of_rule
from rldk.health import Observation
from rldk.testing import found, noise


def flat(level, records, seed=0, sd=0.05):
    return level + noise(records, sd, seed=seed)


def clocked(times, spacing=1, phases=None):
    for record, time in enumerate(times):
        phase = phases[record] if phases else "train"
        yield Observation((record + 1) * spacing, "log", {"loss": 1.0}, phase=phase, wall_time=float(time))


def stalled(step, seconds=301.0, usual=2.0, **detail):
    values = {"stalled_seconds": seconds} | ({} if usual is None else {"usual_seconds": usual})
    return Observation(step, "stall", values, detail=detail)


def hung(after=50, **stall):
    """A run of 20 s a step in which the watchdog barks."""
    run = list(clocked(20.0 * np.arange(1, after + 1)))
    return [*run, stalled(after, usual=20.0, **stall)]


def test_hours_between_two_steps_are_named():
    times = np.cumsum(np.concatenate([flat(20, 50, sd=2), [5400], flat(20, 50, sd=2)]))
    finding = of_rule(clocked(times), "stall")
    assert finding.severity == "warning"
    assert finding.onset_step == 50


def test_ten_steps_a_record_are_no_stall():
    times = np.cumsum(flat(600, 60, sd=20))
    assert of_rule(clocked(times, spacing=10), "stall") is None


def test_gaps_with_few_steps_are_compared_by_step():
    run = [
        Observation(s, "log", {"loss": 1.0}, wall_time=60.0 * s) for s in [*range(1, 30), 59, *range(60, 70)]
    ]
    assert of_rule(run, "stall") is None


def test_an_evaluation_is_no_stall():
    run = []
    clock = 0.0
    for step in range(1, 60):
        clock += 20
        run.append(Observation(step, "log", {"loss": 1.0}, wall_time=clock))
        if step % 20 == 0:
            clock += 4000
            run.append(Observation(step, "log", {"eval_loss": 1.0}, phase="eval", wall_time=clock))
    assert of_rule(run, "stall") is None


def test_a_training_that_hangs_now_is_critical_and_told_where():
    finding = of_rule(hung(activity="the reward function judge (a.py:7)", where="get (b.py:1)"), "stall")
    assert (finding.severity, finding.onset_step) == ("critical", 50)
    assert "it hangs in the reward function judge (a.py:7)" in finding.message
    assert "time limit" in finding.remedies[0]


def test_a_stall_that_the_run_went_on_from_is_information():
    later = [Observation(50 + n, "log", {"loss": 1.0}, wall_time=1000 + 320 + 20.0 * n) for n in range(1, 30)]
    finding = of_rule([*hung(), *later], "stall")
    assert finding.severity == "info"
    assert finding.message.startswith("340 s passed between step 50 and 51: usually 20 s")


def test_a_stall_of_hours_stays_what_it_was():
    later = [Observation(50 + n, "log", {"loss": 1.0}, wall_time=10_000 + 20.0 * n) for n in range(1, 30)]
    finding = of_rule([*hung(), *later], "stall")
    assert (finding.severity, finding.onset_step) == ("critical", 50)
    assert "passed between step 50 and 51" in finding.message


@pytest.mark.parametrize(("usual", "during"), [(None, None), (20.0, "a save")])
def test_what_may_take_its_time_is_a_warning(usual, during):
    run = [*clocked([20.0]), stalled(1, seconds=3601.0, usual=usual, during=during)]
    assert of_rule(run, "stall").severity == "warning"


def test_a_long_callback_is_no_hang_and_no_matter_of_nccl():
    place = {"where": "benchmark (a.py:9)", "during": "the callback Bench"}
    finding = of_rule([*clocked([20.0]), stalled(1, seconds=3601.0, usual=20.0, **place)], "stall")
    assert finding.severity == "warning"
    assert finding.message.endswith("it is in benchmark (a.py:9), during the callback Bench")
    assert finding.causes == ["the callback Bench takes long, or waits"]
    assert "NCCL" not in str(finding.remedies)


def test_a_stall_that_is_told_after_the_record_that_ended_it_says_nothing():
    assert of_rule([*clocked(20.0 * np.arange(1, 60)), stalled(50)], "stall") is None


def test_the_step_times_of_ranks_are_no_stall():
    ranks = [Observation(s, "step_time", {"seconds/0": 900.0, "seconds/1": 900.0}) for s in range(1, 30)]
    assert of_rule([*clocked(20.0 * np.arange(1, 30)), *ranks], "stall") is None


def test_a_log_without_times_says_nothing():
    assert found({"loss": np.ones(50)}, "stall") is None

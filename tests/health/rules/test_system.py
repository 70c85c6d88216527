"""The system family: each rule on runs where it must speak and on runs where it must be silent."""

import numpy as np
import pytest

from health.series import diagnosis, found, line, noise
from rldk.health import Observation, RunContext, Settings, diagnose

SEEDS = range(6)


def flat(level, records, seed=0, sd=0.05):
    return level + noise(records, sd, seed=seed)


def of_rule(observations, rule, **context):
    monitor = Settings().monitor(RunContext(algorithm="grpo", dialect="trl", **context))
    monitor.begin()
    for one in observations:
        monitor.observe(one)
    return next((found for found in diagnose(monitor).findings if found.rule == rule), None)


# resume-jump


def attempts(rate_after, reward_after=0.5, at=50, again=50):
    """60 records, then a resume from step `again`."""
    scatter = noise(120, 0.03)
    for record in range(60):
        yield Observation(record + 1, "log", {"lr": 1e-4, "reward_mean": 0.5 + scatter[record]})
    for record in range(40):
        values = {"lr": rate_after, "reward_mean": reward_after + scatter[60 + record]}
        yield Observation(again + record + 1, "log", values, resumed_from=again if record == 0 else None)


def test_another_learning_rate_is_named_at_once():
    finding = of_rule(attempts(1e-3), "resume-jump")
    assert finding.severity == "warning"
    assert (finding.onset_step, finding.first_step) == (51, 51)
    assert "over" not in finding.message


def test_a_longer_schedule_is_information():
    def longer(options, rate):
        past = [({"lr": 2e-5 * (1 - i / 100), "epoch": i / 100}, None) for i in range(98)]
        rows = [*past, ({"lr": rate, "epoch": 0.98}, 98)]
        monitor = Settings().monitor(RunContext(algorithm="sft", options=options))
        for i, (values, resumed) in enumerate(rows):
            monitor.observe(Observation(i + 1, "log", values, resumed_from=resumed))
        found = diagnose(monitor).findings
        return next(one for one in found if one.rule == "resume-jump").severity

    assert longer({"learning_rate": 2e-5, "num_train_epochs": 2}, 1.02e-5) == "info"
    assert longer({"learning_rate": 2e-5, "num_train_epochs": 2}, 2e-5) == "warning"
    assert longer({"learning_rate": 2e-4, "num_train_epochs": 2}, 1.02e-4) == "warning"


def test_a_level_that_is_lost_is_named_after_ten_records():
    finding = of_rule(attempts(1e-4, reward_after=0.2), "resume-jump")
    assert finding.severity == "warning"
    assert (finding.onset_step, finding.first_step) == (51, 60)


@pytest.mark.parametrize("again", [50, 60])
def test_a_resume_that_goes_on_is_silent(again):
    assert of_rule(attempts(1e-4, again=again), "resume-jump") is None


def test_a_schedule_that_moves_on_is_no_jump():
    rates = line(1e-4, 1e-6, 100)
    scatter = noise(140, 0.03)
    run = [
        Observation(
            step, "log", {"lr": rates[step - 1], "reward_mean": 0.5 + scatter[i]}, resumed_from=resumed
        )
        for i, (step, resumed) in enumerate(
            [(step, None) for step in range(1, 81)]
            + [(step, 60 if step == 61 else None) for step in range(61, 101)]
        )
    ]
    assert of_rule(run, "resume-jump") is None


# stall


def clocked(times, spacing=1, phases=None):
    for record, time in enumerate(times):
        phase = phases[record] if phases else "train"
        yield Observation((record + 1) * spacing, "log", {"loss": 1.0}, phase=phase, wall_time=float(time))


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


def test_a_log_without_times_says_nothing():
    assert found({"loss": np.ones(50)}, "stall") is None


# slow-steps


@pytest.mark.parametrize("seed", SEEDS)
def test_steps_that_take_longer_are_named(seed):
    time = np.concatenate([np.full(100, 20.0), np.full(100, 50.0)]) * np.exp(noise(200, 0.1, seed=seed))
    finding = found({"step_time": time}, "slow-steps")
    assert finding.severity == "warning"
    assert 100 <= finding.onset_step <= 105


def test_longer_answers_explain_longer_steps():
    longer = np.concatenate([np.ones(60), line(1, 2.6, 100)])
    columns = {"step_time": 20 * longer, "completion_length_mean": 400 * longer}
    assert found(columns, "slow-steps") is None


def test_iterations_with_a_validation_are_no_slow_down():
    time = np.full(200, 20.0) + noise(200, 1)
    time[9::10] = 400
    assert found({"iteration_time": time}, "slow-steps", algorithm="ppo") is None


def test_generation_that_takes_almost_all_is_info():
    columns = {"iteration_time": np.full(60, 40.0), "generation_time": np.full(60, 38.0)}
    assert found(columns, "slow-steps").severity == "info"
    usual = columns | {"generation_time": np.full(60, 29.0)}
    assert found(usual, "slow-steps") is None


# memory-creep


def test_a_leak_is_named():
    columns = {"memory_allocated_peak": line(50, 75, 200)}
    finding = found(columns, "memory-creep")
    assert finding.severity == "warning"
    assert finding.first_step == 100


def test_a_leak_beside_longer_answers_is_info():
    columns = {"memory_allocated_peak": line(50, 75, 200), "completion_length_mean": line(300, 900, 200)}
    assert found(columns, "memory-creep").severity == "info"


def test_a_peak_that_levels_is_usual():
    peaks = np.maximum.accumulate(60 + np.abs(noise(300, 1.5)))
    assert found({"memory_reserved_peak": peaks}, "memory-creep") is None
    jump = np.concatenate([np.full(150, 42.0), np.full(150, 80.0)])
    assert found({"cpu_memory_used": jump + noise(300, 0.3)}, "memory-creep") is None


def test_what_needs_the_machine_is_listed_as_not_checked():
    told = {one.rule: one for one in diagnosis({"reward_mean": np.ones(30)}).not_checked}
    for name in ("unfinished-run", "crash", "gpu-idle", "disk-nearly-full", "straggler"):
        assert told[name].how.startswith("it needs")

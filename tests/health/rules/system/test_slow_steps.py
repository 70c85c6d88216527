"""SYS003 slow-steps: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from rldk.testing import found, line, noise

SEEDS = range(6)


def slower(records=200, seed=0):
    """Steps that take 50 s instead of 20 s from record 100 on."""
    level = np.concatenate([np.full(records // 2, 20.0), np.full(records - records // 2, 50.0)])
    return level * np.exp(noise(records, 0.1, seed=seed))


def step(before, after, records=200):
    return np.concatenate(
        [np.full(records // 2, float(before)), np.full(records - records // 2, float(after))]
    )


def causes(columns, **options):
    return found({"step_time": slower(), **columns}, "slow-steps", **options).causes


@pytest.mark.parametrize("seed", SEEDS)
def test_steps_that_take_longer_are_named(seed):
    finding = found({"step_time": slower(seed=seed)}, "slow-steps")
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


def test_what_the_machine_shows_is_no_finding_while_steps_are_as_fast_as_before():
    columns = {
        "step_time": np.full(200, 20.0) + noise(200, 1),
        "resource/gpu0_throttled": step(0, 0.9),
        "resource/swap_used": step(0, 3),
    }
    assert found(columns, "slow-steps") is None


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"resource/gpu3_throttled": step(0, 0.6)}, "heat or the power supply slowed GPU 3 down in 60%"),
        ({"resource/swap_used": step(0.5, 4)}, "the machine swaps: 4 GiB, 0.5 GiB at first"),
        (
            {"resource/memory_used": step(20, 63), "resource/memory_total": step(64, 64)},
            "63 of 64 GiB of the machine's memory are in use",
        ),
        ({"reward_functions/judge/seconds": step(2, 31)}, "the reward function judge takes 31 s"),
        ({"generation_time": step(12, 40)}, "generation takes 40 s, 12 s at first"),
        (
            {"resource/torch_alloc_retries": np.concatenate([np.zeros(100), np.arange(100)])},
            "the GPU is full: the allocator had to empty its cache 99 times",
        ),
        (
            {"completion_length_mean": step(200, 250)},
            "answers are 1.2 times as long",
        ),
    ],
)
def test_the_cause_that_a_series_shows_is_told_first(columns, told):
    assert told in causes(columns)[0]


def test_series_that_did_not_change_are_no_causes():
    columns = {
        "resource/gpu0_throttled": np.full(200, 0.5),  # from the start, when steps were fast
        "resource/swap_used": np.full(200, 8.0),
        "reward_functions/judge/seconds": np.full(200, 9.0),
        "reward_functions/format/seconds": step(0.001, 0.1),
        "resource/torch_alloc_retries": np.full(200, 3.0),
    }
    assert causes(columns) == ["generation is slow"]


def test_without_measurements_the_cause_is_to_be_looked_for():
    assert any("throttles, swaps" in cause for cause in causes({}))

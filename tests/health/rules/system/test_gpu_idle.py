"""SYS007 gpu-idle: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.timed import diagnosed, found
from rldk.testing import noise


def gpus(use, power=300.0, limit=700.0, index=0):
    use = np.asarray(use, dtype=float)
    return {
        f"resource/gpu{index}_utilization": use,
        f"resource/gpu{index}_power": np.broadcast_to(power, len(use)),
        f"resource/gpu{index}_power_limit": np.full(len(use), limit),
    }


def idle(columns, **options):
    return found(columns, "gpu-idle", **options)


def test_a_gpu_that_waits_for_ten_minutes_is_told():
    finding = idle(gpus(np.concatenate([np.full(60, 90.0), np.full(60, 12.0)])))
    assert finding.severity == "info"
    assert 61 <= finding.onset_step <= 63
    assert 60 + 20 <= finding.first_step <= 61 + 40  # of 20 s
    assert "the busiest GPU was in use for" in finding.message


def test_little_power_is_little_work_whatever_the_use():
    finding = idle(gpus(np.full(60, 99.0), power=140.0))
    assert "at 20% of its power limit" in finding.message


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("seconds", [0.04, 2.0, 20.0, 600.0])
def test_a_busy_gpu_is_silent_for_hours(seconds, seed):
    use = np.clip(95 + noise(2000, 10, seed=seed), 0, 100)
    assert idle(gpus(use), seconds=seconds) is None


def test_three_minutes_of_evaluation_are_silent():
    use, seconds = np.full(400, 95.0), np.full(400, 20.0)
    use[19::20], seconds[19::20] = 3.0, 180.0
    assert idle(gpus(use, power=np.where(use < 50, 80.0, 600.0)), seconds=seconds) is None


def test_one_long_evaluation_is_silent():
    use, seconds = np.full(100, 95.0), np.full(100, 20.0)
    use[50], seconds[50] = 1.0, 3000.0
    assert idle(gpus(use), seconds=seconds) is None


def test_the_first_minutes_are_silent():
    assert idle(gpus(np.full(25, 2.0), power=80.0)) is None


def test_generation_between_updates_is_silent():
    use = np.tile([40.0, 95.0, 30.0, 60.0], 100)
    assert idle(gpus(use, power=400.0)) is None


def test_one_busy_gpu_of_several_is_work():
    columns = gpus(np.full(100, 1.0), power=80.0) | gpus(np.full(100, 90.0), index=1)
    assert idle(columns) is None


def test_what_was_not_measured_accuses_nobody():
    power_only = {name: column for name, column in gpus(np.full(100, 0.0)).items() if "power" in name}
    assert idle(power_only) is None
    use_only = {name: column for name, column in gpus(np.full(100, 5.0)).items() if "util" in name}
    assert idle(use_only).message.endswith("in use for 5% of the time")


def test_a_slow_reward_function_is_named_as_the_cause():
    columns = gpus(np.full(100, 5.0)) | {
        "step_time": np.full(100, 20.0),
        "reward_functions/judge/seconds": np.full(100, 15.0),
    }
    assert idle(columns).causes[0].startswith("the reward function judge takes 15 s of a step of 20 s")


def test_a_run_without_gpus_says_what_would_enable_it():
    told = {one.rule: one for one in diagnosed({"reward_mean": np.ones(30)}).not_checked}
    assert "NVIDIA" in told["gpu-idle"].how

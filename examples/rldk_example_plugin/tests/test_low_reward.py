"""Runs on which low-reward speaks, and runs on which it is silent."""

from rldk.testing import found, line, noise
from rldk_example_plugin.low_reward import LowReward


def test_a_reward_that_stays_low_is_reported():
    finding = found({"reward_mean": 0.3 + noise(150, 0.02)}, LowReward)
    assert finding is not None
    assert finding.severity == "warning"
    assert finding.first_step == 100


def test_a_run_that_has_only_begun_is_not_judged():
    assert found({"reward_mean": 0.3 + noise(99, 0.02)}, LowReward) is None


def test_a_reward_that_rises_in_time_is_healthy():
    assert found({"reward_mean": line(0.2, 0.9, 150) + noise(150, 0.02)}, LowReward) is None


def test_a_task_may_be_harder():
    finding = found(
        {"reward_mean": 0.3 + noise(150, 0.02)}, LowReward, thresholds={"low-reward": {"least": 0.2}}
    )
    assert finding is None

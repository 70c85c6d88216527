"""OPT002 gradient-spike: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rows import finding, trains
from health.rules.optimization.common import norms, reward
from rldk.testing import line, noise

SEEDS = range(10)


@pytest.mark.parametrize("seed", SEEDS)
def test_heavy_tails_are_no_spikes(seed):
    rows = trains(grad_norm=norms(2000, seed), reward_mean=reward(2000, seed))
    found = finding(rows, "gradient-spike", "grpo")
    assert found is None or found.severity == "info"


def test_a_burst_with_nothing_behind_it_is_information():
    gradient = norms(200, 1, 0.2)
    gradient[100:103] = 40
    found = finding(trains(grad_norm=gradient[:108], reward_mean=reward(108, 1)), "gradient-spike", "grpo")
    assert (found.severity, found.onset_step) == ("info", 101)


def test_a_burst_after_which_the_reward_falls_is_a_warning():
    gradient, rewards = norms(200, 2, 0.2), reward(200, 2)
    gradient[100:103] = 40
    rewards[102:] -= 0.3
    found = finding(trains(grad_norm=gradient[:120], reward_mean=rewards[:120]), "gradient-spike", "grpo")
    assert (found.severity, found.onset_step) == ("warning", 101)


def test_a_burst_after_which_the_loss_rises_is_a_warning_in_offline_training_alone():
    gradient, loss = norms(200, 3, 0.2), line(2.0, 1.0, 200) + noise(200, 0.05, seed=3)
    gradient[100:103] = 40
    loss[102:] += 1.0
    rows = trains(grad_norm=gradient[:120], loss=loss[:120])
    assert finding(rows, "gradient-spike", "sft").severity == "warning"
    assert finding(rows, "gradient-spike", "grpo").severity == "info"


def test_single_spikes_and_batches_without_gradient_are_silent():
    gradient = norms(300, 4, 0.2)
    gradient[100] = gradient[200] = 100
    gradient[50::3] = 0.0
    assert finding(trains(grad_norm=gradient, reward_mean=reward(300, 4)), "gradient-spike", "grpo") is None


@pytest.mark.parametrize("seed", SEEDS)
def test_spikes_far_apart_are_counted_together(seed):
    gradient = norms(200, seed, 0.2)
    gradient[60::12] *= 50
    columns = {"grad_norm": gradient, "reward_mean": reward(200, seed, 0.3)}
    found = finding(trains(**columns), "gradient-spike", "grpo")
    assert found.severity == "warning"
    assert found.onset_step >= 61
    few = trains(**columns, frac_reward_zero_std=[0.8] * 200)
    assert finding(few, "gradient-spike", "grpo") is None


def test_a_norm_that_stays_high_is_no_spike():
    gradient = norms(200, 5, 0.2)
    gradient[100:] *= 50
    found = finding(trains(grad_norm=gradient, reward_mean=reward(200, 5, 0.3)), "gradient-spike", "grpo")
    assert found is None or found.severity == "info"

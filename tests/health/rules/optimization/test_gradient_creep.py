"""OPT003 gradient-creep: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rows import finding, trains
from health.rules.optimization.common import norms, reward
from rldk.testing import line

SEEDS = range(10)


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_that_creep_up_under_a_flat_reward_are_a_warning(seed):
    gradient = norms(300, seed, 0.2) * np.exp(line(0, np.log(8), 300))
    found = finding(trains(grad_norm=gradient, reward_mean=reward(300, seed, 0.3)), "gradient-creep", "grpo")
    assert found.severity == "warning"
    assert found.onset_step <= 260


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_that_creep_up_under_a_rising_reward_are_information_at_most(seed):
    gradient = norms(300, seed, 0.2) * np.exp(line(0, np.log(8), 300))
    found = finding(trains(grad_norm=gradient, reward_mean=reward(300, seed, 0.9)), "gradient-creep", "grpo")
    assert found is None or found.severity == "info"


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_that_stay_or_double_are_silent(seed):
    for growth in (1, 2):
        gradient = norms(1000, seed) * np.exp(line(0, np.log(growth), 1000))
        rows = trains(grad_norm=gradient, reward_mean=reward(1000, seed, 0.3))
        assert finding(rows, "gradient-creep", "grpo") is None


@pytest.mark.parametrize("seed", SEEDS)
def test_gradients_that_grew_and_stay_high_are_a_warning_also_in_a_short_log(seed):
    gradient = norms(60, seed, 0.2)
    gradient[20:] *= 20
    rows = trains(grad_norm=gradient, reward_mean=reward(60, seed, 0.3))
    found = finding(rows, "gradient-creep", "grpo")
    assert found.severity == "warning"
    assert 20 <= found.onset_step <= 28
    few = trains(grad_norm=gradient, reward_mean=reward(60, seed, 0.3), frac_reward_zero_std=[0.8] * 60)
    assert finding(few, "gradient-creep", "grpo").severity == "info"


@pytest.mark.parametrize("seed", SEEDS)
def test_records_without_an_advantage_do_not_make_the_level_of_a_gradient(seed):
    lacks = np.random.default_rng(seed).random(160) < np.where(np.arange(160) < 40, 0.6, 0.4)
    gradient = np.where(lacks, 1e-5, norms(160, seed))
    rows = trains(
        grad_norm=gradient, frac_reward_zero_std=lacks.astype(float), reward_mean=reward(160, seed, 0.3)
    )
    assert finding(rows, "gradient-creep", "grpo") is None


@pytest.mark.parametrize("seed", SEEDS)
def test_an_adapter_whose_first_gradients_are_small_does_not_creep(seed):
    gradient = norms(160, seed, 0.2)
    gradient[:12] /= 5
    rows = trains(grad_norm=gradient, reward_mean=reward(160, seed, 0.3))
    assert finding(rows, "gradient-creep", "grpo") is None

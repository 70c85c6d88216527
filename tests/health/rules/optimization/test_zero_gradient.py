"""OPT004 zero-gradient: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rows import finding, trains
from rldk.testing import line, noise

ZERO = "zero-gradient"


def online(gradient, reward, **more):
    return trains(grad_norm=gradient, reward_mean=reward, lr=[1e-6] * len(gradient), **more)


def test_a_gradient_that_was_never_there_is_critical():
    rows = trains(grad_norm=[0.0] * 12, loss=[0.6931] * 12, lr=[1e-6] * 12)
    found = finding(rows, ZERO, "dpo")
    assert (found.severity, found.onset_step, found.first_step) == ("critical", 1, 10)


def test_a_gradient_that_vanishes_under_a_fallen_reward_is_an_alarm():
    gradient = np.append(np.ones(50), np.zeros(30))
    rewards = np.append(line(0.3, 0.6, 50), np.full(30, 0.1)) + noise(80, 0.02)
    found = finding(online(gradient, rewards), ZERO, "grpo")
    assert (found.severity, found.onset_step) == ("critical", 51)


def test_a_solved_task_is_information():
    gradient = np.append(np.ones(50), np.zeros(50))
    rewards = np.append(line(0.2, 1.0, 50), np.ones(50))
    assert finding(online(gradient, rewards), ZERO, "grpo").severity == "info"


def test_a_gradient_of_zero_while_groups_have_a_spread_is_no_solved_task():
    rewards = np.append(line(0.2, 0.95, 50), np.full(50, 0.95))
    rows = trains(
        grad_norm=np.append(np.ones(50), np.zeros(50)),
        reward_mean=rewards,
        lr=[1e-5] * 100,
        frac_reward_zero_std=[0.2] * 100,
    )
    assert finding(rows, ZERO, "grpo").severity == "critical"


def test_a_loss_that_falls_shows_that_the_norm_is_not_reported():
    loss = line(2.0, 1.0, 100) + noise(100, 0.05)
    rows = trains(grad_norm=[0.0] * 100, loss=loss, lr=[1e-5] * 100)
    found = finding(rows, ZERO, "sft")
    assert found.severity == "info"
    assert "falls" in found.message


def test_a_set_that_was_learned_to_a_loss_of_zero_is_information():
    loss = np.append(2.5 * np.exp(-np.arange(80) / 10), np.zeros(40)) * np.exp(noise(120, 0.1))
    rows = trains(grad_norm=np.append(np.exp(-np.arange(80) / 10), np.zeros(40)), loss=loss, lr=[1e-5] * 120)
    assert finding(rows, ZERO, "trainer").severity == "info"


@pytest.mark.parametrize("seed", range(10))
def test_zeros_that_come_by_chance_are_silent(seed):
    """One prompt a step, of which seven in ten have no advantage."""
    gradient = np.random.default_rng(seed).random(2000) * np.random.default_rng(seed + 50).choice(
        [0, 1], 2000, p=[0.7, 0.3]
    )
    found = finding(online(gradient, 0.5 + noise(2000, 0.1, seed=seed)), ZERO, "grpo")
    assert found is None or found.severity == "info"


def test_a_gradient_of_zero_at_a_rate_of_zero_is_not_its_business():
    rows = trains(grad_norm=[0.0] * 20, loss=[0.69] * 20, lr=[0.0] * 20)
    assert finding(rows, ZERO, "dpo") is None


def test_a_loss_that_fell_before_the_zeros_is_no_excuse():
    loss = np.append(line(4.2, 3.5, 15), np.full(45, 3.55) + noise(45, 0.01))
    rows = trains(grad_norm=np.append(np.full(15, 1.2), np.zeros(45)), loss=loss, lr=[1e-3] * 60)
    one = finding(rows, ZERO, "sft")
    assert (one.severity, one.onset_step) == ("critical", 16)
    assert "it was 1.2 before" in one.message
    assert "froze" in one.causes[0]
    assert not any("group" in cause for cause in one.causes)

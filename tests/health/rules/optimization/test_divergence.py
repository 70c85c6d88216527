"""OPT005 divergence: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rows import alarms, evaluated, finding, trains
from health.rules.optimization.common import falling, sft
from rldk.testing import line, noise

SEEDS = range(10)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_small_batch_of_mixed_texts_is_silent(seed):
    loss = np.exp(noise(500, 0.6, seed=seed, heavy=True))
    assert finding(sft(loss), "divergence", "sft") is None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_loss_near_zero_that_doubles_lost_nothing(seed):
    loss = np.append(falling(100, seed, 0.002, 0.69, 0.01), np.full(100, 0.02))
    rows = trains(loss=np.abs(loss), rewards_margins=[3.0] * 200, rewards_accuracies=[0.9] * 200)
    assert finding(rows, "divergence", "dpo") is None
    for more in ({"rpo_alpha": 1.0}, {"loss_weights": [2.0]}, {"label_smoothing": 0.3}):
        assert finding(rows, "divergence", "dpo", options={"loss_type": ["sigmoid"], **more}) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_a_loss_that_climbs_and_stays_is_named(seed):
    loss = falling(200, seed, 0.05)
    loss[120:] += np.append(line(0, 1.5, 20), np.full(60, 1.5))
    found = finding(sft(loss, grad_norm=np.append(np.ones(120), np.full(80, 9.0))), "divergence", "sft")
    assert found.severity == "critical"
    assert abs(found.onset_step - 126) <= 8


@pytest.mark.parametrize("spacing", [1, 10])
def test_a_run_that_diverges_from_the_start_is_named(spacing):
    records = 60 if spacing == 1 else 15
    loss = np.append([2.0, 2.4], np.full(records - 2, 7.0)) + noise(records, 0.1)
    assert finding(sft(loss, spacing), "divergence", "sft").severity == "critical"


def test_a_rise_within_the_first_records_keeps_its_severity_when_the_loss_recovers():
    start = np.append([2.0, 2.4], np.full(58, 7.0))
    recovered = np.append(start, np.full(300, 1.0)) + noise(360, 0.1)
    found = finding(sft(recovered), "divergence", "sft")
    assert found.severity == "critical"
    assert "it lasted until step" in found.message
    later = falling(480, 3, 0.05, 1.6, 0.9)
    later[120:180] += 4.0
    gradient = np.ones(480)
    gradient[120:180] = 9.0
    found = finding(sft(later, grad_norm=gradient), "divergence", "sft")
    assert found.severity == "info"
    assert "it lasted until step" in found.message


def test_preferences_worse_than_untrained_are_named():
    """A preference loss begins at ln 2: that start is exact, whatever the noise of what follows."""
    loss = np.append([0.6931, 0.75], np.abs(1.3 + noise(98, 0.6)))
    rows = trains(loss=loss, rewards_margins=noise(100, 1.0), rewards_accuracies=[0.5] * 100)
    assert finding(rows, "divergence", "dpo").severity in ("warning", "critical")


def test_a_token_accuracy_that_is_lost_is_named():
    accuracy = np.append([0.5, 0.4, 0.3], np.full(97, 0.1)) + noise(100, 0.02)
    found = finding(sft(np.full(100, 1.0), token_accuracy_mean=accuracy), "divergence", "dpo")
    assert found.severity == "warning"
    assert "token accuracy" in found.message


def test_losses_of_reinforcement_and_of_unknown_runs_are_not_judged():
    loss = np.append(falling(100, 1, 0.02), np.full(100, 5.0))
    assert finding(trains(loss=loss, reward_mean=[0.5] * 200), "divergence", "grpo") is None
    assert alarms(trains(loss=loss)) == []
    assert finding(sft(loss), "divergence").severity == "critical"


def test_a_loss_with_its_rate_and_gradient_alone_is_taken_as_sft():
    loss = np.append(falling(100, 1, 0.02), np.full(100, 5.0))
    gradient = np.append(np.full(100, 1.0), np.full(100, 6.0))
    plain = {"loss": loss, "grad_norm": gradient, "lr": [1e-5] * 200}
    found = finding(trains(**plain), "divergence")
    assert (found.severity, "taken as sft" in found.message) == ("critical", True)
    assert finding(trains(**plain, advantage_mean=[0.0] * 200), "divergence").severity == "info"


def test_other_data_are_information():
    loss = falling(300, 2, 0.03)
    loss[150:] += 0.9 * np.exp(-np.arange(150) / 60)
    found = finding(sft(loss, grad_norm=[1.0] * 300), "divergence", "sft")
    assert found is None or found.severity == "info"


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ["harder half", "harder end", "blocks"])
def test_a_jump_under_gradients_as_before_is_other_data(seed, kind):
    loss = falling(300, seed, 0.04, 1.6, 0.9)
    if kind == "blocks":
        loss[(np.arange(300) // 40) % 2 == 0] += 1.0
    else:
        loss[150 if kind == "harder half" else 225 :] += 1.0
    rows = sft(loss, grad_norm=0.6 * np.exp(noise(300, 0.15, seed=seed)))
    for records in (160, 180, 240, 260, 300):
        found = finding(rows[:records], "divergence", "sft")
        assert found is None or (found.severity == "info" and "data" in found.message)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_jump_with_a_burst_of_gradients_or_a_worse_evaluation_is_an_alarm(seed):
    loss = falling(300, seed, 0.04, 1.6, 0.9)
    loss[225:] += 1.0
    gradient = 0.6 * np.exp(noise(300, 0.15, seed=seed))
    worse = evaluated(sft(loss, grad_norm=gradient), 50, loss=[1.4, 1.2, 1.1, 1.0, 1.9, 1.9])
    assert finding(worse, "divergence", "sft").severity != "info"
    gradient[225:228] = 20.0
    assert finding(sft(loss, grad_norm=gradient), "divergence", "sft").severity != "info"


def test_a_huge_beta_is_the_first_cause_of_a_loss_above_its_start():
    loss = np.append([0.6931, 0.7], np.abs(2.0 + noise(98, 1.0)))
    rows = trains(loss=loss, rewards_margins=noise(100, 9.0), rewards_accuracies=[0.9] * 100)
    found = finding(rows, "divergence", "dpo", options={"beta": 100.0})
    assert found.severity != "info"
    assert "beta" in found.causes[0]
    assert found.remedies[0].startswith("set `beta` to 0.1")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("spacing", "delay"), [(1, 9), (10, 4)])
def test_a_leap_is_told_before_the_means_show_it(seed, spacing, delay):
    loss = falling(60, seed, 0.05)
    loss[40:] += np.append(line(2.5, 1.0, 10), np.full(10, 1.0))
    found = finding(sft(loss, spacing), "divergence", "sft")
    assert found.severity in ("warning", "critical")
    assert 41 * spacing <= found.first_step <= (41 + delay) * spacing


def test_a_first_record_of_many_steps_far_above_ln_2_is_named():
    """The rate was a hundred times too high: the loss leapt and fell again within the first record."""
    loss = [1.71, 0.95, 0.87, 0.92, 0.83, 0.80, 0.94, 0.74]
    rows = trains(10, loss=loss, rewards_margins=[0.0] * 8, rewards_accuracies=[0.55] * 8)
    known = {"options": {"loss_type": ["sigmoid"]}}
    assert finding(rows, "divergence", "dpo", **known).severity == "warning"
    assert finding(rows, "divergence", "dpo", options={"loss_type": ["ipo"]}) is None
    assert finding(rows, "divergence", "dpo") is None
    for more in ({"rpo_alpha": 1.0}, {"loss_weights": [2.0]}, {"label_smoothing": 0.3}):
        assert finding(rows, "divergence", "dpo", options={"loss_type": ["sigmoid"], **more}) is None


def test_first_steps_that_blow_up_are_named_though_the_loss_falls_again():
    loss = np.concatenate([[4.6, 22, 55, 93, 80, 60, 49, 40, 33, 28], line(25, 3.5, 50)])
    gradient = np.concatenate([[14.0, 200, 612, 300], np.full(56, 5.0)])
    found = finding(sft(loss, grad_norm=gradient), "divergence", "sft")
    assert found.severity in ("warning", "critical")
    assert found.first_step <= 6


@pytest.mark.parametrize("seed", SEEDS)
def test_a_first_batch_that_was_easy_is_no_blow_up(seed):
    loss = np.exp(noise(100, 0.6, seed=seed))
    loss[0] = 0.3
    assert finding(sft(loss, grad_norm=np.exp(noise(100, 0.4, seed=seed + 50))), "divergence", "sft") is None

"""divergence, labels-masked and overfitting: the loss where it is the measure, and nowhere else."""

from math import nan

import numpy as np
import pytest

from health.rows import alarms, evaluated, finding, trains
from health.series import line, noise

SEEDS = range(10)


def falling(records=200, seed=0, sd=0.1, start=2.0, end=1.0):
    """A loss as fine-tuning has it: fast, then slow."""
    return end + (start - end) * np.exp(-np.arange(records) / 30) + noise(records, sd, seed=seed)


def sft(loss, spacing=1, **more):
    accuracy = more.pop("token_accuracy_mean", [0.6] * len(loss))
    return trains(spacing, loss=loss, token_accuracy_mean=accuracy, **more)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("records", "spacing"), [(2000, 1), (100, 10)])
@pytest.mark.parametrize("sd", [0.05, 0.4])
def test_a_loss_that_falls_is_silent(seed, records, spacing, sd):
    assert alarms(sft(falling(records, seed, sd), spacing), "sft") == []


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
    assert alarms(trains(loss=loss, grad_norm=[1.0] * 200, lr=[1e-5] * 200)) == []
    assert finding(sft(loss), "divergence").severity == "critical"


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


MASKED = "labels-masked"


def masked(records=3, **changes):
    columns = {"loss": 0.0, "grad_norm": 0.0, "token_accuracy_mean": 0.0, "entropy_mean": 1.2} | changes
    return trains(**{name: [value] * records for name, value in columns.items() if value is not None})


@pytest.mark.parametrize("gradient", [0.0, nan])
def test_masked_labels_are_critical_at_the_second_record(gradient):
    found = finding(masked(2, grad_norm=gradient), MASKED, "sft")
    assert (found.severity, found.onset_step, found.first_step) == ("critical", 1, 2)


def test_nan_weights_are_not_masked_labels():
    assert finding(masked(5, grad_norm=nan, entropy_mean=nan), MASKED, "sft") is None
    assert finding(masked(5, grad_norm=nan, entropy_mean=None), MASKED, "sft") is None


def test_a_set_learned_by_heart_and_a_single_batch_are_not_masked():
    assert finding(masked(5, token_accuracy_mean=1.0), MASKED, "sft") is None
    rounded = trains(loss=[0.02, 0.001, 0.0, 0.0, 0.0], grad_norm=[0.1, 0.01, 0.0, 0.0, 0.0])
    assert finding(rounded, MASKED, "sft") is None
    assert finding([*sft(falling(20)), *masked(1)], MASKED, "sft") is None


OVER = "overfitting"


def test_evaluations_that_rise_while_training_falls_are_a_warning():
    rows = evaluated(sft(line(2, 0.1, 80)), 10, loss=[2, 1.5, 1.3, 1.35, 1.4, 1.5, 1.6, 1.7])
    found = finding(rows, OVER, "sft")
    assert (found.severity, found.onset_step) == ("warning", 50)
    assert finding(trains_only(rows), OVER, "sft") is None


def trains_only(rows):
    return [row for row in rows if row[1] == "train"]


def test_a_rise_with_a_better_accuracy_is_information():
    rows = evaluated(
        trains(loss=line(0.7, 0.1, 80), rewards_margins=line(0, 4, 80)),
        10,
        loss=[0.6, 0.5, 0.45, 0.5, 0.52, 0.55, 0.6, 0.62],
        rewards_accuracies=[0.6, 0.65, 0.7, 0.72, 0.74, 0.75, 0.76, 0.78],
    )
    assert finding(rows, OVER, "dpo").severity == "info"


@pytest.mark.parametrize(
    "evaluations",
    [
        [2, 1.5, 1.3, 1.25, 1.2, 1.19, 1.18, 1.17],
        [2, 1.5, 1.3, 1.31, 1.29, 1.32, 1.3, 1.31],
        [3, 0.4, 0.083, 0.085, 0.0873, 0.088, 0.089, 0.09],
    ],
)
def test_evaluations_that_fall_or_waver_are_silent(evaluations):
    assert finding(evaluated(sft(line(2, 0.1, 80)), 10, loss=evaluations), OVER, "sft") is None


def test_an_evaluation_that_is_told_the_wrong_way_round_is_not_overfitting():
    rows = evaluated(
        trains(loss=line(0.7, 0.1, 80), rewards_margins=line(0, 4, 80)),
        10,
        loss=[0.8, 0.9, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0],
        rewards_accuracies=[0.1] * 8,
    )
    assert finding(rows, OVER, "dpo") is None


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


@pytest.mark.parametrize("seed", SEEDS)
def test_one_bad_batch_is_no_leap(seed):
    loss = falling(100, seed, 0.05)
    loss[60] += 3.0
    assert alarms(sft(loss, 10), "sft") == []


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

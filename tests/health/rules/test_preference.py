"""The preference family: margins, accuracies and what falls with them."""

import numpy as np
import pytest

from health.rows import alarms, evaluated, finding, trains
from health.series import line, noise

SEEDS = range(10)


def dpo(records=150, seed=0, spacing=1, chosen=-1.5, margin=1.2, **more):
    """A healthy DPO run: the loss falls, the margin rises, the chosen reward falls a little."""
    margins = line(0, margin, records) + noise(records, 0.25, seed=seed)
    columns = {
        "loss": 0.69 - 0.2 * np.tanh(margins / 2) + noise(records, 0.03, seed=seed + 1),
        "grad_norm": np.exp(noise(records, 0.3, seed=seed + 2)),
        "rewards_margins": margins,
        "rewards_chosen": line(0, chosen, records) + noise(records, 0.15, seed=seed + 3),
        "rewards_accuracies": np.clip(0.5 + margins / 4, 0, 1),
        "logps_chosen": -150 + line(0, 10 * chosen, records) + noise(records, 5, seed=seed + 4),
        "epoch": line(0, 1, records),
    }
    return trains(spacing, **{**columns, **more})


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("spacing", [1, 10])
def test_a_healthy_run_is_no_alarm(seed, spacing):
    assert alarms(dpo(600, seed, spacing), "dpo") == []
    assert alarms(dpo(12, seed, spacing), "dpo") == []


DISPLACED = "likelihood-displacement"


def test_a_mild_fall_is_information_and_a_deep_one_a_warning():
    assert finding(dpo(chosen=-2.5), DISPLACED, "dpo").severity == "info"
    deep = finding(dpo(chosen=-12), DISPLACED, "dpo")
    assert deep.severity == "warning"
    assert "loss_weights" in " ".join(deep.remedies)


def test_a_chosen_reward_that_rises_or_stands_is_silent():
    assert finding(dpo(chosen=1.0), DISPLACED, "dpo") is None
    assert finding(dpo(rewards_chosen=np.full(150, -3.0) + noise(150, 0.1)), DISPLACED, "dpo") is None


SATURATED = "preference-saturated"


def saturated(epochs, margin, records=60):
    ones = np.ones(records)
    return dpo(
        records,
        loss=0.001 * ones,
        rewards_accuracies=ones,
        rewards_margins=line(margin / 2, margin, records),
        epoch=line(0, epochs, records),
    )


def test_pairs_told_apart_within_half_an_epoch_by_far_are_a_warning():
    assert finding(saturated(0.4, 30), SATURATED, "dpo").severity == "warning"


def test_easy_pairs_and_late_epochs_are_information():
    assert finding(saturated(0.4, 4), SATURATED, "dpo").severity == "info"
    assert finding(saturated(7.0, 30), SATURATED, "dpo").severity == "info"


CHANCE = "reward-model-at-chance"


def test_a_long_warm_up_does_not_count():
    coin = 0.5 + noise(280, 0.05)
    columns = {"reward_model_accuracy": coin, "loss": 0.695 + noise(280, 0.01), "lr": line(1e-8, 1e-5, 280)}
    columns["lr"][200:] = 1e-5
    known = {"learning_rate": 1e-5}
    assert finding(trains(**columns), CHANCE, "reward", options=known) is None
    columns["lr"] = np.full(280, 1e-5)
    assert finding(trains(**columns), CHANCE, "reward", options=known).severity == "warning"


def reward_model(accuracy, loss, records=60, spacing=10):
    return trains(
        spacing, loss=loss + noise(records, 0.01), reward_model_accuracy=accuracy + noise(records, 0.08)
    )


def test_a_reward_model_at_chance_is_a_warning_after_enough_steps():
    found = finding(reward_model(0.5, 0.695), CHANCE, "reward")
    assert found.severity == "warning"
    assert found.first_step > 200
    assert finding(reward_model(0.5, 0.695, 19), CHANCE, "reward") is None


def test_noisy_preferences_are_silent():
    assert finding(reward_model(0.63, 0.65), CHANCE, "reward") is None


SWAPPED = "swapped-preferences"


def preferences(trained, *evaluations):
    rows = dpo(100, rewards_accuracies=np.full(100, trained))
    return evaluated(rows, 25, rewards_accuracies=evaluations, rewards_margins=[e - 0.5 for e in evaluations])


def test_swapped_preferences_are_critical_at_the_second_evaluation():
    found = finding(preferences(0.97, 0.1, 0.05, 0.05, 0.02), SWAPPED, "dpo")
    assert (found.severity, found.onset_step, found.first_step) == ("critical", 25, 50)


@pytest.mark.parametrize(
    ("trained", "evaluations"),
    [(0.97, (0.5, 0.48, 0.45, 0.5)), (0.97, (0.1, 0.6, 0.1, 0.6)), (0.0, (0, 0, 0, 0)), (0.7, (0.2,) * 4)],
)
def test_overfitting_and_a_start_from_the_reference_are_not_swapped(trained, evaluations):
    assert finding(preferences(trained, *evaluations), SWAPPED, "dpo") is None


COLLAPSED = "margin-collapse"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_margin_that_falls_back_is_a_warning(seed):
    margins = np.append(line(0, 1.2, 100), np.full(60, 0.1)) + noise(160, 0.2, seed=seed)
    found = finding(dpo(160, rewards_margins=margins), COLLAPSED, "dpo")
    assert found.severity == "warning"
    assert abs(found.onset_step - 108) <= 8


@pytest.mark.parametrize("seed", SEEDS)
def test_a_small_noisy_margin_is_silent(seed):
    margins = 0.1 + noise(1000, 0.5, seed=seed)
    assert finding(dpo(1000, rewards_margins=margins), COLLAPSED, "dpo") is None

"""PRF003 reward-model-at-chance: runs on which it must speak, and runs on which it must be silent."""

import numpy as np

from health.rows import finding, trains
from rldk.testing import line, noise

CHANCE = "reward-model-at-chance"


def reward_model(accuracy, loss, records=60, spacing=10):
    return trains(
        spacing, loss=loss + noise(records, 0.01), reward_model_accuracy=accuracy + noise(records, 0.08)
    )


def test_a_long_warm_up_does_not_count():
    coin = 0.5 + noise(280, 0.05)
    columns = {"reward_model_accuracy": coin, "loss": 0.695 + noise(280, 0.01), "lr": line(1e-8, 1e-5, 280)}
    columns["lr"][200:] = 1e-5
    known = {"learning_rate": 1e-5}
    assert finding(trains(**columns), CHANCE, "reward", options=known) is None
    columns["lr"] = np.full(280, 1e-5)
    assert finding(trains(**columns), CHANCE, "reward", options=known).severity == "warning"


def test_a_reward_model_at_chance_is_a_warning_after_enough_steps():
    found = finding(reward_model(0.5, 0.695), CHANCE, "reward")
    assert found.severity == "warning"
    assert found.first_step >= 200
    assert finding(reward_model(0.5, 0.695, 19), CHANCE, "reward") is None


def test_noisy_preferences_are_silent():
    assert finding(reward_model(0.63, 0.65), CHANCE, "reward") is None


def test_scores_that_are_all_alike_are_named_early():
    columns = {"loss": np.full(60, 0.6931), "reward_model_margin_mean": noise(60, 1e-4)}
    rows = trains(**columns, reward_model_accuracy=np.zeros(60))
    found = finding(rows, CHANCE, "reward")
    assert (found.severity, found.first_step) == ("warning", 20)
    assert "same score" in found.message
    columns["reward_model_margin_mean"] = line(0.01, 0.5, 60)
    assert finding(trains(**columns, reward_model_accuracy=line(0.5, 0.7, 60)), CHANCE, "reward") is None


def test_half_of_the_pairs_is_chance_although_the_loss_falls():
    assert finding(reward_model(0.42, line(0.69, 0.4, 60)), CHANCE, "reward").severity == "warning"


def test_orpo_is_judged_by_its_own_reward():
    def orpo(accuracy):
        rises = accuracy + noise(160, 0.1)
        return trains(loss=line(1.0, 0.7, 160), rewards_accuracies_token_mean=rises)

    assert finding(orpo(0.47), CHANCE, "orpo").severity == "warning"
    for healthy in (0.6, line(0.3, 0.49, 160)):  # the second has pairs swapped: another rule's
        assert finding(orpo(healthy), CHANCE, "orpo") is None

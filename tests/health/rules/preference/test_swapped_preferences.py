"""PRF004 swapped-preferences: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rows import evaluated, finding, trains
from health.rules.preference.common import dpo
from rldk.testing import line, noise

SWAPPED = "swapped-preferences"


def preferences(trained, *evaluations):
    rows = dpo(100, rewards_accuracies=np.full(100, trained))
    return evaluated(rows, 25, rewards_accuracies=evaluations, rewards_margins=[e - 0.5 for e in evaluations])


def test_swapped_preferences_are_critical_at_the_second_evaluation():
    found = finding(preferences(0.97, 0.1, 0.05, 0.05, 0.02), SWAPPED, "dpo")
    assert (found.severity, found.onset_step, found.first_step) == ("critical", 25, 50)


@pytest.mark.parametrize(
    ("trained", "evaluations"),
    [(0.97, (0.5, 0.48, 0.45, 0.5)), (0.97, (0.1, 0.6, 0.1, 0.6)), (0.0, (0, 0, 0, 0)), (0.6, (0.2,) * 4)],
)
def test_overfitting_and_a_start_from_the_reference_are_not_swapped(trained, evaluations):
    assert finding(preferences(trained, *evaluations), SWAPPED, "dpo") is None


def test_evaluation_pairs_that_are_mostly_wrong_from_the_start_are_a_warning():
    found = finding(preferences(0.8, 0.3, 0.25, 0.2, 0.2), SWAPPED, "dpo")
    assert (found.severity, found.onset_step) == ("warning", 25)


def test_evaluation_pairs_that_were_right_once_are_not_swapped():
    assert finding(preferences(0.8, 0.7, 0.5, 0.3, 0.2), SWAPPED, "dpo") is None


def test_a_reward_model_with_swapped_labels_is_critical():
    rows = trains(loss=np.full(100, 0.01), reward_model_accuracy=np.ones(100))
    rows = evaluated(rows, 25, reward_model_accuracy=[0.1, 0.02, 0.0, 0.0])
    assert finding(rows, SWAPPED, "reward").severity == "critical"


def test_training_pairs_against_what_the_policy_knows_are_a_warning():
    """ORPO of a policy that was taught the task: the train split is wrong, the evaluations fall."""
    rows = trains(rewards_accuracies_token_mean=line(0.1, 0.38, 100) + noise(100, 0.05))
    rows = evaluated(rows, 25, rewards_accuracies_token_mean=[0.87, 0.77, 0.7, 0.65])
    assert finding(rows, SWAPPED, "orpo").severity == "warning"


@pytest.mark.parametrize(
    ("margins", "is_named"), [([-1.9, -2.0], True), ([-0.1, -0.2], False), ([0.5, 0.6], False)]
)
def test_without_accuracies_the_margins_decide(margins, is_named):
    rows = evaluated(trains(rewards_margins=line(0, 2, 100) + noise(100, 0.2)), 50, rewards_margins=margins)
    found = finding(rows, SWAPPED, "kto")
    assert (found is not None and found.severity == "warning") == is_named

"""PRF004 swapped-preferences: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rows import evaluated, finding
from health.rules.preference.common import dpo

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

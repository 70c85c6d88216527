"""PRF002 preference-saturated: runs on which it must speak, and runs on which it must be silent."""

import numpy as np

from health.rows import finding
from health.rules.preference.common import dpo
from rldk.testing import line

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

"""OPT006 labels-masked: runs on which it must speak, and runs on which it must be silent."""

from math import nan

import pytest

from health.rows import finding, trains
from health.rules.optimization.common import falling, sft

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

"""What several rules of the optimization family do with one run."""

import pytest

from health.rows import alarms
from health.rules.optimization.common import falling, sft

SEEDS = range(10)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("records", "spacing"), [(2000, 1), (100, 10)])
@pytest.mark.parametrize("sd", [0.05, 0.4])
def test_a_loss_that_falls_is_silent(seed, records, spacing, sd):
    assert alarms(sft(falling(records, seed, sd), spacing), "sft") == []


@pytest.mark.parametrize("seed", SEEDS)
def test_one_bad_batch_is_no_leap(seed):
    loss = falling(100, seed, 0.05)
    loss[60] += 3.0
    assert alarms(sft(loss, 10), "sft") == []

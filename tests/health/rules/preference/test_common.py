"""What several rules of the preference family do with one run."""

import pytest

from health.rows import alarms
from health.rules.preference.common import dpo

SEEDS = range(10)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("spacing", [1, 10])
def test_a_healthy_run_is_no_alarm(seed, spacing):
    assert alarms(dpo(600, seed, spacing), "dpo") == []
    assert alarms(dpo(12, seed, spacing), "dpo") == []

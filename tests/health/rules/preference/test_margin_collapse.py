"""PRF005 margin-collapse: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rows import finding
from health.rules.preference.common import dpo
from rldk.testing import line, noise

SEEDS = range(10)
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

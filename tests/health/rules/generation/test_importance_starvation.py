"""GEN006 importance-starvation: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.generation.common import flat, learning
from rldk.testing import found, line

SEEDS = range(6)


def test_a_gradient_that_is_thrown_away_is_named():
    ratio = np.concatenate([np.full(50, 0.98), line(0.98, 0.6, 50), np.full(50, 0.6)])
    columns = {"importance_sampling_ratio_mean": ratio, "reward_mean": flat(0.3, 150)}
    assert found(columns, "importance-starvation").severity == "warning"
    assert found(columns | {"reward_mean": learning(records=150)}, "importance-starvation").severity == "info"
    assert found(columns | {"importance_sampling_ratio_mean": ratio - 0.15}, "importance-starvation")


@pytest.mark.parametrize("seed", SEEDS)
def test_ratios_that_scatter_below_one_are_usual(seed):
    columns = {
        "importance_sampling_ratio_mean": flat(0.93, 100, seed, 0.09),
        "importance_sampling_ratio_min": np.zeros(100),
        "reward_mean": flat(0.3, 100, seed),
    }
    assert found(columns, "importance-starvation") is None

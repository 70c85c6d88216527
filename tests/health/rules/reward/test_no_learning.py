"""REW003 no-learning: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.reward.common import flat, learning
from rldk.testing import found, line

N = 200
SEEDS = range(8)


def test_most_flat_rewards_are_said():
    said = [found({"reward_mean": flat(-0.3, seed, 0.4, 300)}, "no-learning") for seed in range(20)]
    assert sum(one is not None for one in said) >= 15


@pytest.mark.parametrize("seed", SEEDS)
def test_a_learning_run_is_not_called_flat(seed):
    assert found({"reward_mean": learning(seed)}, "no-learning") is None
    assert found({"reward_mean": learning(seed, sd=0.3, records=400)}, "no-learning") is None


@pytest.mark.parametrize("offset", [-100.0, 100.0])
def test_a_reward_that_learns_far_from_zero_is_not_called_flat(offset):
    assert found({"reward_mean": learning(0) + offset}, "no-learning") is None


def test_a_plateau_that_ends_is_forgotten():
    late = np.concatenate([flat(0.2, records=150), line(0.2, 0.9, 60), flat(0.9, records=60)])
    assert found({"reward_mean": late}, "no-learning") is None

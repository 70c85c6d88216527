"""POL005 entropy-collapse: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.policy.common import flat, learning
from rldk.testing import found, line, noise

SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fall_of_entropy_without_reward_is_named(seed):
    entropy = np.concatenate([np.full(40, 0.9), np.geomspace(0.9, 0.01, 40), np.full(120, 0.01)])
    finding = found(
        {"entropy_mean": entropy * np.exp(noise(200, 0.1, seed=seed)), "reward_mean": flat(0.3, 200, seed)},
        "entropy-collapse",
    )
    assert finding.severity == "critical"
    assert 45 <= finding.onset_step <= 65


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fall_of_entropy_with_the_reward_is_learning(seed):
    entropy = line(0.6, 0.2, 200) * np.exp(noise(200, 0.1, seed=seed))
    assert found({"entropy_mean": entropy, "reward_mean": learning(seed)}, "entropy-collapse") is None
    near_nothing = line(0.3, 0.03, 200).clip(0.03)
    assert found({"entropy_mean": near_nothing, "reward_mean": learning(seed)}, "entropy-collapse") is None


@pytest.mark.parametrize("level", [0.12, 0.4, 2.74])
def test_no_level_of_entropy_is_ill(level):
    columns = {"entropy_mean": flat(level, 150, sd=0.05 * level), "reward_mean": flat(0.3, 150)}
    assert found(columns, "entropy-collapse") is None
    assert found(columns, "entropy-explosion") is None


def test_a_collapse_before_the_baseline_is_there_is_named():
    entropy = np.concatenate([[0.96, 1.1, 1.3, 1.8, 1.8, 1.0, 0.5], np.full(33, 1e-18)])
    finding = found({"entropy_mean": entropy, "reward_mean": flat(0.3, 40, sd=0.1)}, "entropy-collapse")
    assert finding.severity == "critical"
    assert finding.first_step <= 20


def test_a_plateau_whose_completions_still_differ_is_no_ceiling():
    reward = np.concatenate([line(0.32, 0.42, 50), np.full(250, 0.42)]) + noise(300, 0.02)
    entropy = np.concatenate([np.full(30, 0.42), np.geomspace(0.42, 0.02, 190), np.full(80, 0.02)])
    columns = {"entropy_mean": entropy, "reward_mean": reward, "reward_std": np.full(300, 0.3)}
    assert found(columns, "entropy-collapse").severity == "warning"


def test_entropy_alone_is_only_info():
    assert found({"entropy_mean": line(1, 0.05, 100)}, "entropy-collapse").severity == "info"

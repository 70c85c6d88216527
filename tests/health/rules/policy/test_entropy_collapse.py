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
    assert finding.severity != "info"
    assert 45 <= finding.onset_step <= 65


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fall_of_entropy_with_the_reward_falling_is_critical(seed):
    entropy = np.concatenate([np.full(40, 0.9), np.geomspace(0.9, 0.1, 40), np.full(120, 0.1)])
    reward = np.concatenate([np.full(40, 0.6), line(0.6, 0.1, 60), np.full(100, 0.1)])
    columns = {
        "entropy_mean": entropy * np.exp(noise(200, 0.1, seed=seed)),
        "reward_mean": reward + noise(200, 0.05, seed=seed),
    }
    assert found(columns, "entropy-collapse").severity == "critical"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_short_log_is_judged_by_its_first_records(seed):
    entropy = np.concatenate([np.full(12, 0.9), np.geomspace(0.9, 0.05, 8), np.full(20, 0.05)])
    columns = {
        "entropy_mean": entropy * np.exp(noise(40, 0.1, seed=seed)),
        "reward_mean": flat(0.3, 40, seed),
    }
    assert found(columns, "entropy-collapse").severity == "warning"


def test_a_reward_that_gained_early_does_not_excuse_entropy_that_goes_to_nothing():
    reward = np.concatenate([line(0.2, 0.9, 100), np.full(200, 0.9)]) + noise(300, 0.03)
    entropy = np.concatenate([np.full(100, 1.0), np.geomspace(1.0, 0.01, 100), np.full(100, 0.01)])
    columns = {"entropy_mean": entropy, "reward_mean": reward}
    assert found(columns, "entropy-collapse").severity == "warning"


def test_entropy_that_falls_while_prompts_are_solved_is_only_info():
    reward = np.concatenate([line(0.2, 0.9, 100), np.full(200, 0.9)]) + noise(300, 0.03)
    entropy = np.concatenate([np.full(120, 1.0), np.geomspace(1.0, 0.1, 100), np.full(80, 0.1)])
    columns = {"entropy_mean": entropy, "reward_mean": reward}
    assert found(columns, "entropy-collapse").severity == "warning"
    solved = {**columns, "frac_reward_zero_std": np.full(300, 0.9)}
    assert found(solved, "entropy-collapse").severity == "info"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fall_of_entropy_with_the_reward_is_learning(seed):
    entropy = line(0.6, 0.2, 200) * np.exp(noise(200, 0.1, seed=seed))
    assert found({"entropy_mean": entropy, "reward_mean": learning(seed)}, "entropy-collapse") is None
    near_nothing = line(0.3, 0.03, 200).clip(0.03)
    columns = {"entropy_mean": near_nothing, "reward_mean": learning(seed)}
    assert found(columns, "entropy-collapse").severity == "info"


@pytest.mark.parametrize("level", [0.12, 0.4, 2.74])
def test_no_level_of_entropy_is_ill(level):
    columns = {"entropy_mean": flat(level, 150, sd=0.05 * level), "reward_mean": flat(0.3, 150)}
    assert found(columns, "entropy-collapse") is None
    assert found(columns, "entropy-explosion") is None


def test_a_collapse_before_the_baseline_is_there_is_named():
    entropy = np.concatenate([[0.96, 1.1, 1.3, 1.8, 1.8, 1.0, 0.5], np.full(33, 1e-18)])
    finding = found({"entropy_mean": entropy, "reward_mean": flat(0.3, 40, sd=0.1)}, "entropy-collapse")
    assert finding.severity == "warning"
    assert finding.first_step <= 20


def test_a_plateau_whose_completions_still_differ_is_no_ceiling():
    reward = np.concatenate([line(0.32, 0.42, 50), np.full(250, 0.42)]) + noise(300, 0.02)
    entropy = np.concatenate([np.full(30, 0.42), np.geomspace(0.42, 0.02, 190), np.full(80, 0.02)])
    columns = {"entropy_mean": entropy, "reward_mean": reward, "reward_std": np.full(300, 0.3)}
    assert found(columns, "entropy-collapse").severity == "warning"


def test_entropy_alone_is_only_info():
    assert found({"entropy_mean": line(1, 0.05, 100)}, "entropy-collapse").severity == "info"

"""POL006 entropy-explosion: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.policy.common import flat, learning
from rldk.testing import found, line, noise

SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
def test_noise_is_named_where_the_reward_goes(seed):
    entropy = np.concatenate([np.full(60, 0.4), line(0.4, 4, 60), np.full(80, 4)])
    reward = np.concatenate([line(0.3, 0.6, 60), line(0.6, 0.05, 60), np.full(80, 0.05)])
    columns = {
        "entropy_mean": entropy * np.exp(noise(200, 0.05, seed=seed)),
        "reward_mean": reward + noise(200, 0.03, seed=seed),
    }
    finding = found(columns, "entropy-explosion")
    assert finding.severity == "warning"
    assert 60 <= finding.onset_step <= 85


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rise_with_more_reward_is_fine(seed):
    entropy = line(0.3, 1.0, 200) + noise(200, 0.03, seed=seed)
    finding = found({"entropy_mean": entropy, "reward_mean": learning(seed)}, "entropy-explosion")
    assert finding.severity == "info"


@pytest.mark.parametrize("seed", range(100))
def test_entropy_that_stands_is_no_rise_although_its_first_records_are_low_by_chance(seed):
    entropy = 0.5 * np.exp(noise(120, 0.5, seed=seed))
    entropy[:3] = np.sort(entropy[:60])[:3]
    assert found({"entropy_mean": entropy, "reward_mean": flat(0.3, 120, seed)}, "entropy-explosion") is None


def test_an_explosion_from_the_third_record_is_named():
    entropy = np.concatenate([[0.18, 0.2, 0.24, 2.8, 3.5, 5, 6], np.full(33, 7.5)])
    reward = np.concatenate([[0.9, 0.9, 0.95, 0.2, 0.02], np.full(35, 0.01)]) + noise(40, 0.01)
    finding = found({"entropy_mean": entropy, "reward_mean": reward}, "entropy-explosion")
    assert finding.severity == "warning"
    assert finding.onset_step <= 6
    assert finding.first_step <= 13


@pytest.mark.parametrize(("length", "severity"), [(3.5, "info"), (2.5, "warning")])
def test_a_leap_with_the_length_of_the_answers_is_of_the_prompts(length, severity):
    level = np.concatenate([np.full(60, 0.1), np.full(60, 0.45)])
    columns = {
        "entropy_mean": level + noise(120, 0.02),
        "reward_mean": np.concatenate([np.full(60, 0.9), np.full(60, 0.45)]) + noise(120, 0.05),
        "completion_length_mean": np.concatenate([np.full(60, 2.5), np.full(60, length)]) + noise(120, 0.1),
        "grad_norm": np.ones(120),
    }
    assert found(columns, "entropy-explosion").severity == severity

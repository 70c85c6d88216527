"""GEN005 sampling-mismatch: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.generation.common import flat, learning
from rldk.testing import found, line, noise

SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drift_of_the_engine_is_named(seed):
    difference = np.concatenate([np.full(80, 0.012), np.geomspace(0.012, 0.7, 60), np.full(60, 0.7)])
    columns = {
        "sampling_logp_difference_mean": difference * np.exp(noise(200, 0.1, seed=seed)),
        "reward_mean": np.concatenate([line(0.2, 0.6, 100), line(0.6, 0.2, 100)])
        + noise(200, 0.03, seed=seed),
    }
    finding = found(columns, "sampling-mismatch")
    assert finding.severity == "critical"
    assert 90 <= finding.onset_step <= 125


def test_a_difference_that_triples_at_a_low_level_follows_the_entropy():
    columns = {"sampling_logp_difference_mean": line(0.006, 0.022, 100), "reward_mean": flat(0.4, 100)}
    assert found(columns, "sampling-mismatch") is None


def test_engines_in_8_bits_are_only_info_while_the_reward_learns():
    columns = {
        "sampling_logp_difference_mean": flat(0.105, 150, sd=0.005),
        "reward_mean": learning(records=150),
    }
    assert found(columns, "sampling-mismatch").severity == "info"


def test_probabilities_are_not_log_probabilities():
    verl = {"sampling_prob_difference_mean": line(0.0026, 0.04, 150), "reward_mean": line(0.5, 0.3, 150)}
    assert found(verl, "sampling-mismatch").severity == "critical"
    trl = {"sampling_logp_difference_mean": line(0.0026, 0.02, 150), "reward_mean": line(0.5, 0.3, 150)}
    assert found(trl, "sampling-mismatch") is None

"""GEN007 stale-rollout: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.generation.common import flat, learning
from rldk.testing import found, line, noise

SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_engine_with_old_weights_is_named(seed):
    columns = {
        "sampling_logp_difference_mean": line(0.01, 0.28, 200) * np.exp(noise(200, 0.05, seed=seed)),
        "reward_mean": flat(0.33, 200, seed, 0.03),
        "grad_norm": flat(0.4, 200, seed),
    }
    finding = found(columns, "stale-rollout")
    assert finding.severity == "warning"
    assert finding.onset_step <= 40


def test_a_rise_that_is_learned_under_is_not_stale():
    columns = {
        "sampling_logp_difference_mean": line(0.004, 0.05, 200),
        "reward_mean": learning(),
        "grad_norm": flat(0.4, 200),
    }
    assert found(columns, "stale-rollout") is None
    still = columns | {"reward_mean": flat(0.3, 200), "grad_norm": np.zeros(200)}
    assert found(still, "stale-rollout") is None

"""POL002 negative-kl: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from rldk.testing import found, line, noise

SEEDS = range(6)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_kl_below_zero_is_named_and_noise_is_not(seed):
    noisy = {"kl_sequence_mean": noise(150, 0.3, seed=seed)}
    assert found(noisy, "negative-kl", algorithm="ppo") is None
    low = np.concatenate([np.zeros(50), line(0, -10, 100)]) + noise(150, 0.3, seed=seed)
    finding = found({"kl_sequence_mean": low}, "negative-kl", algorithm="ppo")
    assert finding.severity == "critical"
    assert 50 <= finding.onset_step <= 65


def test_k1_of_rloo_is_noise_near_zero():
    columns = {"kl_mean": 0.002 + noise(150, 0.01)}
    assert found(columns, "negative-kl", algorithm="rloo") is None
    assert found({"kl_mean": -0.2 + noise(150, 0.01)}, "negative-kl", algorithm="rloo").severity == "warning"

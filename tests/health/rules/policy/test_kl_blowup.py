"""POL001 kl-blowup: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.policy.common import flat, learning
from rldk.testing import found, line, noise

SEEDS = range(6)


def drift(seed=0, records=200, at=60, low=0.02, high=2.5):
    kl = np.concatenate([np.full(at, low), np.geomspace(low, high, 80), np.full(records - at - 80, high)])
    return kl * np.exp(noise(records, 0.15, seed=seed))


@pytest.mark.parametrize("seed", SEEDS)
def test_a_drift_that_the_reward_does_not_pay_for_is_named(seed):
    finding = found({"kl_mean": drift(seed), "reward_mean": flat(0.4, 200, seed)}, "kl-blowup")
    assert finding.severity == "warning"
    assert 95 <= finding.onset_step <= 135


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_drift_with_a_reward_that_rises_is_no_alarm(seed):
    finding = found({"kl_mean": drift(seed), "reward_mean": learning(seed)}, "kl-blowup")
    assert finding.severity == "info"


@pytest.mark.parametrize("seed", SEEDS)
def test_a_distance_that_no_gain_pays_for_is_a_warning(seed):
    kl = drift(seed, high=12)
    assert found({"kl_mean": kl, "reward_mean": learning(seed)}, "kl-blowup").severity == "warning"


@pytest.mark.parametrize("seed", SEEDS)
def test_single_spikes_of_k3_are_harmless(seed):
    kl = np.abs(flat(0.3, 200, seed, 0.05))
    kl[[20, 40, 41, 90, 150]] = [197, 80, 67, 12, 65]
    assert found({"kl_mean": kl, "reward_mean": flat(0.4, 200, seed)}, "kl-blowup") is None


def test_a_policy_that_is_lost_by_the_third_record_is_named():
    kl = np.concatenate([[0, 1.5, 6, 12], np.full(36, 5.0)]) * np.exp(noise(40, 0.1))
    reward = np.concatenate([[0.4, 0.35, 0.1], np.full(37, 0.05)]) + noise(40, 0.02)
    finding = found({"kl_mean": kl, "reward_mean": reward}, "kl-blowup")
    assert finding.severity in ("warning", "critical")
    assert finding.onset_step <= 5
    assert finding.first_step <= 15


def test_a_collapse_to_one_text_is_no_gain():
    """The noise of a deterministic policy is next to nothing: any difference would seem a gain."""
    reward = np.concatenate([[0.54, 0.5, 0.2, 0.17, 0.17], np.full(95, 0.3)]) + noise(100, 0.0005)
    assert (
        found({"kl_mean": np.full(100, 4.5), "reward_mean": reward}, "kl-blowup") is None
    )  # mismatched start
    kl = np.concatenate([line(0, 4.5, 5), np.full(95, 4.5)])
    assert found({"kl_mean": kl, "reward_mean": reward}, "kl-blowup").severity == "critical"


def test_the_sum_over_a_completion_has_its_own_scale():
    reward = flat(0.4, 120)
    healthy = {"kl_sequence_mean": line(0, 8, 120), "reward_mean": reward}
    assert found(healthy, "kl-blowup", algorithm="ppo") is None
    finding = found({**healthy, "kl_sequence_mean": line(0, 40, 120)}, "kl-blowup", algorithm="ppo")
    assert finding.severity == "warning"


def test_the_reference_point_of_kto_may_be_large():
    columns = {"kl_reference_point_mean": line(0, 30, 100), "loss": line(0.5, 0.3, 100)}
    assert found(columns, "kl-blowup", algorithm="kto") is None

"""POL008 bad-critic: runs on which it must speak, and runs on which it must be silent."""

import numpy as np

from health.rules.policy.common import flat, learning
from rldk.testing import found, line, noise


def critic(explained, reward):
    return found(
        {"value_explained_variance": explained, "reward_mean": reward}, "bad-critic", algorithm="ppo"
    )


def test_a_critic_that_explains_nothing_is_named():
    explained = np.concatenate([line(0, 0.6, 50), line(0.6, -3, 50), np.full(50, -3)])
    finding = critic(explained, np.concatenate([line(0.2, 0.5, 60), line(0.5, 0.1, 90)]))
    assert finding.severity == "warning"
    assert 50 <= finding.onset_step <= 75


def test_negative_in_the_first_updates_is_usual():
    explained = np.concatenate([np.full(20, -0.5), np.full(130, 0.5)]) + noise(150, 0.1)
    assert critic(explained, flat(0.3, 150)) is None


def test_a_dip_without_consequence_is_no_alarm():
    explained = np.concatenate([np.full(80, 0.8), np.full(40, -2.0), np.full(80, 0.8)])
    finding = critic(explained, learning())
    assert finding is None or finding.severity == "info"

"""POL004 off-policy: runs on which it must speak, and runs on which it must be silent."""

import numpy as np

from health.rules.policy.common import flat, learning
from rldk.testing import found, line, noise


def test_clipping_that_rises_is_named_and_none_is_expected():
    clipped = np.concatenate([np.full(60, 0.02), line(0.02, 0.5, 60)]) + np.abs(noise(120, 0.005))
    finding = found({"clip_frac": clipped, "reward_mean": learning(records=120)}, "off-policy")
    assert finding.severity == "warning"
    assert 60 <= finding.onset_step <= 100
    assert found({"clip_frac": np.zeros(120), "reward_mean": flat(0.3, 120)}, "off-policy") is None


def test_several_updates_a_batch_are_waited_for():
    columns = {"clip_frac": np.full(80, 0.3), "reward_mean": flat(0.3, 80)}
    assert found(columns, "off-policy", options={"num_iterations": 4}).severity == "info"
    assert found(columns, "off-policy").severity == "warning"


def test_the_reward_decides_where_much_is_always_clipped():
    columns = {"clip_two_sided_frac": np.full(120, 0.45), "reward_mean": learning(records=120)}
    assert found(columns, "off-policy", algorithm="ppo").severity == "info"
    worse = columns | {"reward_mean": line(0.5, 0.2, 120)}
    assert found(worse, "off-policy", algorithm="ppo").severity == "warning"

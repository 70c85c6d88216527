"""PRF001 likelihood-displacement: runs on which it must speak, and runs on which it must be silent."""

import numpy as np

from health.rows import finding
from health.rules.preference.common import dpo
from rldk.testing import noise

DISPLACED = "likelihood-displacement"


def test_a_mild_fall_is_information_and_a_deep_one_a_warning():
    assert finding(dpo(chosen=-2.5), DISPLACED, "dpo").severity == "info"
    deep = finding(dpo(chosen=-12), DISPLACED, "dpo")
    assert deep.severity == "warning"
    assert "loss_weights" in " ".join(deep.remedies)


def test_a_chosen_reward_that_rises_or_stands_is_silent():
    assert finding(dpo(chosen=1.0), DISPLACED, "dpo") is None
    assert finding(dpo(rewards_chosen=np.full(150, -3.0) + noise(150, 0.1)), DISPLACED, "dpo") is None

"""POL009 reference-mismatch: runs on which it must speak, and runs on which it must be silent."""

import numpy as np

from health.rules.policy.common import flat
from rldk.testing import found, line


def test_a_difference_at_step_one_is_told():
    finding = found({"kl_mean": np.full(30, 0.34)}, "reference-mismatch")
    assert finding.severity == "info"
    assert "over" not in finding.message
    assert found({"kl_mean": line(0, 0.4, 30)}, "reference-mismatch") is None


def test_updates_within_the_first_record_are_no_mismatch():
    assert found({"kl_mean": line(0.1, 2, 30)}, "reference-mismatch", spacing=10) is None
    assert found({"kl_mean": flat(0.5, 30)}, "reference-mismatch", spacing=10) is not None


def test_the_first_implicit_reward_tells_it_too():
    columns = {"rewards_chosen": np.full(30, -0.4), "rewards_margins": np.full(30, 0.1)}
    assert found(columns, "reference-mismatch", algorithm="dpo") is not None
    assert found({"rewards_chosen": line(0, -2, 30)}, "reference-mismatch", algorithm="dpo") is None


def test_a_reward_that_is_a_multiple_of_the_log_probability_has_no_reference():
    logps = line(-0.44, -0.9, 30)
    columns = {"rewards_chosen": 2.5 * logps, "logps_chosen": logps}
    assert found(columns, "reference-mismatch", algorithm="dpo") is None
    columns["rewards_chosen"] = np.full(30, -0.4)
    assert found(columns, "reference-mismatch", algorithm="dpo") is not None


def test_a_margin_that_has_been_learned_is_no_beginning():
    columns = {"rewards_chosen": np.full(30, -0.4), "rewards_margins": np.full(30, 5.7)}
    assert found(columns, "reference-mismatch", algorithm="dpo") is None

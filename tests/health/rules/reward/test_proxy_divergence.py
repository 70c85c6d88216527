"""REW006 proxy-divergence: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.reward.reward_functions_runs import function
from rldk.testing import diagnosis, found, line, noise

N = 160
RISING = line(0.2, 0.9, N) + noise(N, 0.04)
HACKED = np.concatenate([line(0.3, 0.6, 60), line(0.6, 0.1, N - 60)]) + noise(N, 0.04, seed=2)


def hacking(truth, name="rewards/accuracy/mean"):
    return {"reward_mean": RISING, name: truth}


def test_reward_up_and_truth_down_is_named():
    finding = found(hacking(HACKED), "proxy-divergence", truth_metric="rewards/accuracy/mean")
    assert finding.severity == "warning"
    assert 50 <= finding.onset_step <= 75
    assert finding.first_step <= 110


@pytest.mark.parametrize("seed", range(8))
def test_a_truth_that_rises_or_stands_is_no_divergence(seed):
    for truth in (line(0.3, 0.8, N), np.full(N, 0.5)):
        columns = hacking(truth + noise(N, 0.05, seed=seed, rho=0.3))
        assert found(columns, "proxy-divergence", truth_metric="rewards/accuracy/mean") is None


def test_both_falling_is_no_divergence():
    columns = {"reward_mean": HACKED, "truth": HACKED}
    assert found(columns, "proxy-divergence", truth_metric="truth") is None


def test_a_function_of_weight_0_is_taken_for_the_truth():
    columns = (
        {"reward_mean": RISING}
        | function("proxy", RISING, np.full(N, 0.2))
        | function("truth", HACKED, np.full(N, 0.2))
    )
    finding = found(columns, "proxy-divergence", options={"reward_weights": [1.0, 0.0]})
    assert "rewards/truth/mean" in finding.message


def test_without_a_truth_it_is_not_checked_and_says_what_to_name():
    (unchecked,) = [
        one for one in diagnosis({"reward_mean": RISING}).not_checked if one.rule == "proxy-divergence"
    ]
    assert "truth_metric" in unchecked.how

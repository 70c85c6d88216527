"""REW010 slow-reward: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.rules.reward.reward_faults_runs import logged, observed, share
from rldk.testing import diagnosis, found

N = 80


def test_functions_that_take_most_of_the_time_are_told():
    columns = logged("judge", "fast") | observed("judge", seconds=4.0) | observed("fast")
    finding = found(columns | {"reward_time_frac": share(0.6)}, "slow-reward")
    assert finding.severity == "info"
    assert "the slowest is judge, 4 s a step" in finding.message
    assert finding.first_step <= 25


@pytest.mark.parametrize(
    ("busy", "seconds"),
    [(share(0.1), 4.0), (share(0.6), 0.02), (np.where(np.arange(N) % 10 == 0, 0.9, 0.05), 4.0)],
    ids=["a small part", "of very short steps", "now and then"],
)
def test_functions_that_do_not_hold_up_the_training_are_not_told(busy, seconds):
    columns = logged("judge") | observed("judge", seconds=seconds) | {"reward_time_frac": busy}
    assert found(columns, "slow-reward") is None


def test_without_an_observer_it_is_said_how_to_have_one():
    not_checked = {one.rule: one.how for one in diagnosis(logged("a")).not_checked}
    for rule in ("reward-function-errors", "slow-reward"):
        assert "reward_funcs=observe_rewards(...)" in not_checked[rule]
    assert "missing-rewards" not in not_checked

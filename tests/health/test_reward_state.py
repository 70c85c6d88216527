"""Signals that several rules share."""

import pytest

from rldk.health.reward_state import course


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (0.1, 0.4, "went from 0.1 to 0.4"),
        (0.0, 0.0, "stayed at 0"),
        (0.50001, 0.50002, "stayed at 0.5"),
    ],
)
def test_a_reward_that_reads_the_same_did_not_go_anywhere(before, now, told):
    assert course(before, now) == told

"""Which lines a later start of a run superseded."""

import pytest

from rldk.schema.run_info import Attempts, newest_attempt

STARTS = [{"from_step": 0}, {"from_step": 40}, {"from_step": 20}]


@pytest.mark.parametrize(
    ("attempt", "step", "superseded"),
    [(1, 20, False), (1, 21, True), (2, 20, False), (2, 41, True), (3, 900, False)],
)
def test_what_lies_beyond_the_start_of_a_later_attempt_is_superseded(attempt, step, superseded):
    assert Attempts(STARTS).superseded(attempt, step) is superseded


@pytest.mark.parametrize("attempt", [None, 0, -1, 4, "1"])
def test_what_tells_no_attempt_is_kept(attempt):
    assert not Attempts(STARTS).superseded(attempt, 10**9)


@pytest.mark.parametrize("attempts", [None, [], "x", [None], [{"from_step": "x"}]])
def test_strange_attempts_supersede_nothing(attempts):
    assert not Attempts(attempts).superseded(1, 5)
    assert newest_attempt({"attempts": attempts}).get("algorithm") is None


def test_the_newest_attempt():
    assert newest_attempt({"attempts": STARTS}) == {"from_step": 20}

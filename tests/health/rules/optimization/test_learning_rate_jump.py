"""OPT009 learning-rate-jump: runs on which it must speak, and runs on which it must be silent."""

from math import cos, pi

import pytest

from health.rows import diagnosed, finding, trains
from rldk.testing import line

JUMP = "learning-rate-jump"
DECAY = line(1e-5, 8e-6, 40)


def rates(values):
    return trains(lr=values, loss=[1.0] * len(values))


def test_a_jump_for_three_steps_is_info_that_stays():
    found = finding(rates([*DECAY, *[3e-3] * 3, *line(8e-6, 6e-6, 40)]), JUMP, "sft")
    assert (found.severity, found.onset_step, found.last_step) == ("info", 41, 43)


def test_a_jump_that_lasts_begins_where_it_rose():
    found = finding(rates([*DECAY, *[2.1e-5] * 40]), JUMP, "sft")
    assert (found.severity, found.onset_step) == ("info", 41)
    assert finding(rates([*DECAY, *[1.9e-5] * 40]), JUMP, "sft") is None


@pytest.mark.parametrize(
    "values",
    [
        [0.0, 1e-6, 1e-5, *line(2e-5, 1e-4, 9), *line(1e-4, 0, 40)],
        [stair * 1e-5 for stair in (0.9, 1.9, 2.9) for _ in range(10)],
        [1e-6] * 30 + [1e-5] * 40,
        [1e-5 * 0.5 * (1 + cos(pi * (step % 20) / 20)) for step in range(100)],
    ],
    ids=["warm-up", "warm-up in stairs", "stage below the planned rate", "warm restarts"],
)
def test_a_warm_up_and_restarts_are_silent(values):
    assert finding(rates(values), JUMP, "sft", options={"learning_rate": 1e-5}) is None


def test_a_tool_that_rounds_is_not_judged():
    assert finding(rates([*DECAY, *[3e-3] * 40]), JUMP, "grpo", dialect="verl") is None


def test_what_begins_soon_after_a_jump_names_it():
    rows = trains(lr=[*DECAY, *[3e-3] * 20], loss=[*line(1.0, 0.9, 40), *[float("nan")] * 20])
    found = {each.rule: each.caused_by for each in diagnosed(rows, "sft").findings}
    assert found["non-finite"] == JUMP
    assert found[JUMP] is None

"""OPT008 zero-learning-rate: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rows import finding, trains
from rldk.testing import line

RATE = "zero-learning-rate"
PLAN = {"max_steps": 100}


def rates(values, spacing=1):
    return trains(spacing, lr=values, loss=[1.0] * len(values))


def test_a_rate_that_was_never_set_is_a_warning_after_five_records():
    found = finding(rates([0.0] * 20), RATE, "sft", options=PLAN)
    assert (found.severity, found.onset_step, found.first_step) == ("warning", 1, 6)
    assert finding(rates([0.0] * 100), RATE, "sft", options=PLAN).severity == "warning"


def test_a_schedule_that_ends_early_is_a_warning():
    rows = rates([*line(1e-5, 1e-6, 50), *[0.0] * 20])
    found = finding(rows, RATE, "sft", options=PLAN)
    assert (found.severity, found.onset_step) == ("warning", 51)
    assert finding(rows, RATE, "sft").severity == "info"


@pytest.mark.parametrize(
    "values", [[0.0, *[1e-5] * 40], [0.0, 0.0, 0.0, *[1e-5] * 40], [*line(1e-5, 1e-7, 95), *[0.0] * 5]]
)
def test_warm_up_and_the_end_of_a_schedule_are_silent(values):
    assert finding(rates(values), RATE, "sft", options=PLAN) is None


def test_a_tool_that_rounds_is_not_judged():
    assert finding(rates([0.0] * 60), RATE, "grpo", dialect="verl") is None


def test_the_plan_may_be_in_epochs():
    rows = trains(lr=[*[1e-5] * 50, *[0.0] * 30], epoch=line(0, 2.4, 80), loss=[1.0] * 80)
    assert (
        finding(rows, RATE, "sft", options={"max_steps": -1, "num_train_epochs": 3.0}).severity == "warning"
    )
    ended = {"max_steps": -1, "num_train_epochs": 1.5}
    assert finding(rows, RATE, "sft", options=ended) is None

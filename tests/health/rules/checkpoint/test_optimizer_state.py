"""CKP008 optimizer-state: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rules.checkpoint.common import compared, facts, found, optimizer
from rldk.schema.checkpoint import NonFiniteTensor, TrainerProgress


@pytest.mark.parametrize(
    ("changes", "experts", "severity"),
    [
        ({}, False, None),
        ({"without_state": 1, "fewest_steps": 19}, False, "warning"),
        ({"without_state": 1, "fewest_steps": 19}, True, "info"),
        ({"without_state": 1, "fewest_steps": None, "most_steps": None}, False, "warning"),
        ({"without_state": 1}, False, "info"),
        ({"without_state": 9}, True, "warning"),
        ({"without_state": 9, "moments": False}, False, None),
        ({"fewest_steps": 4}, False, "warning"),
        ({"fewest_steps": 4}, True, "info"),
        ({"fewest_steps": 6, "most_steps": 6}, False, "info"),
        ({"fewest_steps": 18, "most_steps": 18}, False, None),  # fp16 skipped two
        ({"non_finite": [NonFiniteTensor(name="3.exp_avg_sq", nan=1)]}, False, "warning"),
        ({"lr": [1e-3], "scheduled_lr": [9e-4]}, False, "warning"),
        ({"lr": [9e-4, 9e-4], "scheduled_lr": [9e-4]}, False, None),
        ({"fault": "cut short", "without_state": 9}, False, None),  # checkpoint-incomplete says it
    ],
)
def test_what_an_optimizer_must_hold(changes, experts, severity):
    one = found("optimizer-state", facts(optimizer=optimizer(**changes), experts=experts))
    assert (one and one.severity) == severity


@pytest.mark.parametrize(
    ("tensors", "unchanged", "severity"),
    [
        (9, 2, "info"),  # as many as have a state
        (9, 1, "warning"),  # one that changed has none
        (9, 9, "info"),
        (30, 28, "info"),  # most of the model is frozen
        (30, 22, "warning"),
        (30, 0, "info"),  # more than parameters: they were cut differently for the file
        (0, 0, "info"),
    ],
)
def test_what_has_no_state_and_did_not_change_got_no_gradient(tensors, unchanged, severity):
    against = compared(tensors=tensors, unchanged_tensors=unchanged, unchanged=0.1)
    one = found("optimizer-state", facts(optimizer=optimizer(without_state=2), compared=against))
    assert one.severity == severity
    assert ("get no gradient" in one.causes[0]) == (severity == "info")


@pytest.mark.parametrize(
    ("following", "schedule", "changes", "severity"),
    [
        (9.9e-4, "linear", {}, None),
        (3e-3, "linear", {}, "warning"),
        (3e-3, None, {}, "info"),
        (3e-3, "cosine_with_restarts", {}, None),
        (0.0, None, {}, "warning"),
        (3e-3, "linear", {"steepest": None}, None),
        (3e-3, "linear", {"steepest": 1e-3}, None),  # the schedule is as steep as that
        (3e-3, "linear", {"logged_step": 15}, None),
        (3e-3, "linear", {"logged_lr": None}, None),
    ],
)
def test_the_next_learning_rate_follows_the_last(following, schedule, changes, severity):
    progress = TrainerProgress(
        **({"step": 20, "logged_step": 20, "logged_lr": 1e-3, "steepest": 1e-5} | changes)
    )
    state = optimizer(lr=[following], scheduled_lr=[following])
    options = {"lr_scheduler_type": schedule} if schedule else {}
    one = found("optimizer-state", facts(progress=progress, optimizer=state), options=options)
    assert (one and one.severity) == severity
    plateau = optimizer(lr=[following], scheduled_lr=[following], plateau=True)
    assert found("optimizer-state", facts(progress=progress, optimizer=plateau)) is None

"""CKP003 weights-unchanged: runs on which it must speak, and runs on which it must be silent."""

import pytest

from checkpoints.judging import findings
from health.rules.checkpoint.common import compared, facts, found
from rldk.schema.checkpoint import TrainerProgress


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({}, "critical"),
        ({"base": True, "step": 0}, "critical"),
        ({"steps": 2}, "info"),
        ({"steps": 0}, None),
        ({"steps": None}, None),
        ({"highest_lr": 0.0}, None),
        ({"unchanged_tensors": 2, "unchanged": 0.95}, None),
        ({"removed": ["lm_head.weight"]}, None),
        ({"tensors": 0, "unchanged_tensors": 0}, None),
    ],
)
def test_unchanged_weights_are_a_fault_only_after_steps_that_should_change_them(changes, severity):
    one = found("weights-unchanged", facts(compared=compared(**changes)))
    assert (one and one.severity) == severity


def test_a_rate_that_is_logged_less_often_than_is_saved_is_taken_from_before():
    unlogged = compared(highest_lr=None)
    assert found("weights-unchanged", facts(compared=unlogged)).severity == "critical"
    assert found("weights-unchanged", facts(compared=unlogged, progress=None)).severity == "info"
    warming = TrainerProgress(step=20, logged_step=1, logged_lr=0.0)
    assert found("weights-unchanged", facts(compared=unlogged, progress=warming)) is None


def test_weights_that_change_later_are_told_as_over():
    still = facts(20, compared=compared())
    moving = facts(30, compared=compared(unchanged_tensors=0))
    assert findings(still, moving)["weights-unchanged"].severity == "info"

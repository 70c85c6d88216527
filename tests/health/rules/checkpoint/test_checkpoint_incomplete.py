"""CKP001 checkpoint-incomplete: runs on which it must speak, and runs on which it must be silent."""

import pytest

from checkpoints.judging import findings
from health.rules.checkpoint.common import facts, found
from rldk.schema.checkpoint import Best, Optimizer, Part, TrainerProgress


@pytest.mark.parametrize(
    ("changes", "context", "severity"),
    [
        ({"state": "partial", "missing": ["optimizer.pt"]}, {}, "warning"),
        ({"state": "partial", "missing": ["rng_state_1.pth"]}, {}, "info"),
        ({"state": "weights"}, {}, "info"),
        ({"state": "weights"}, {"options": {"save_only_model": True}}, None),
        ({"state": "weights"}, {"options": {"save_only_model": False}}, "warning"),
        ({"state": "weights", "progress": None}, {}, None),
        ({"config_missing": "config.json"}, {}, "warning"),
        ({"config_missing": "config.json"}, {"model_class": "Line"}, None),
        ({"best": Best(path="out/checkpoint-3")}, {}, None),
        ({"best": Best(path="out/checkpoint-3", exists=False)}, {}, "warning"),
        ({"best": Best(path="out/checkpoint-3", exists=False, moved=True)}, {}, "info"),
        ({"progress": TrainerProgress(fault="cut short")}, {}, "critical"),
        ({"optimizer": Optimizer(scheduler_fault="no zip")}, {}, "critical"),
    ],
)
def test_what_is_missing_is_as_bad_as_what_it_costs(changes, context, severity):
    one = found("checkpoint-incomplete", facts(**changes), **context)
    assert (one and one.severity) == severity


def test_a_checkpoint_that_is_broken_stays_so_whatever_follows():
    broken = facts(20, parts=[Part(name="model.safetensors", fault="cut short: 3 bytes of 9")])
    one = findings(broken, facts(30), facts(40))["checkpoint-incomplete"]
    assert (one.severity, one.first_step) == ("critical", 20)
    assert "checkpoint-20: model.safetensors is damaged: cut short: 3 bytes of 9" in one.message


@pytest.mark.parametrize(
    ("changes", "context", "first"),
    [
        ({}, {}, "save_only_model=True"),
        ({}, {"options": {"save_only_model": False}}, "the disk was full"),
        ({"faults": ["x is missing"]}, {}, "the disk was full"),
    ],
)
def test_weights_alone_are_most_likely_meant(changes, context, first):
    one = found("checkpoint-incomplete", facts(state="weights", **changes), **context)
    assert first in one.causes[0]
    assert ("save_only_model=False" in one.remedies[0]) == (first == "save_only_model=True")


def test_weights_alone_after_a_fault_do_not_explain_it():
    broken, alone = facts(20, faults=["x is missing"]), facts(30, state="weights")
    one = findings(broken, alone)["checkpoint-incomplete"]
    assert (one.severity, "disk" in one.causes[0]) == ("critical", True)


def test_several_faults_are_counted():
    one = found(
        "checkpoint-incomplete", facts(faults=["a is missing", "b is missing"], empty=["w"], empty_tensors=9)
    )
    assert one.message == "checkpoint-20: a is missing (and 2 more)"

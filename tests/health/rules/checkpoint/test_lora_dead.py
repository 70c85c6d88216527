"""CKP004 lora-dead: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rules.checkpoint.common import adapter, facts, found
from rldk.schema.checkpoint import TrainerProgress


@pytest.mark.parametrize(
    ("step", "updates", "changes", "speaks"),
    [
        (20, 20, {}, True),
        (20, None, {}, True),
        (1, 1, {}, False),
        (20, 1, {}, False),
        (20, 20, {"zero_b": 3}, False),
        (20, 20, {"modules": 0, "zero_b": 0}, False),
    ],
)
def test_zeros_are_dead_once_they_could_have_changed(step, updates, changes, speaks):
    progress = TrainerProgress(step=step, updates=updates)
    one = found("lora-dead", facts(step, kind="adapter", adapter=adapter(**changes), progress=progress))
    assert (one is not None) == speaks


def test_an_adapter_without_a_tensor_is_dead_at_once():
    one = found(
        "lora-dead", facts(1, kind="adapter", tensors=0, adapter=adapter(bytes=443, modules=0, zero_b=0))
    )
    assert "443 bytes holds no tensor" in one.message

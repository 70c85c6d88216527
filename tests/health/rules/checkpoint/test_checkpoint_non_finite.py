"""CKP002 checkpoint-non-finite: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rules.checkpoint.common import facts, found
from rldk.schema.checkpoint import NonFiniteTensor


def test_masks_may_hold_infinities():
    mask = NonFiniteTensor(name="model.layers.0.attn.causal_mask", inf=9, elements=81)
    assert found("checkpoint-non-finite", facts(non_finite=[mask], non_finite_tensors=1)) is None
    weight = NonFiniteTensor(name="model.mask_decoder.weight", nan=1, elements=81)
    one = found("checkpoint-non-finite", facts(non_finite=[mask, weight], non_finite_tensors=2))
    assert "1 of 3 tensors" in one.message
    assert one.evidence["tensors"] == [weight.name]


@pytest.mark.parametrize(
    ("changes", "severity"),
    [
        ({"zeros": True}, None),
        ({"zeros": True, "unchanged": True}, None),
        ({"zeros": True, "unchanged": False}, "critical"),
        ({"unchanged": True}, "info"),
        ({"unchanged": False}, "critical"),
        ({}, "critical"),
        ({"zeros": True, "unchanged": True, "lowest": False}, "critical"),  # NaN, or +inf
    ],
)
def test_a_bias_of_minus_infinity_that_does_not_change_is_no_fault(changes, severity):
    bias = NonFiniteTensor(**({"name": "h.0.attn.bias", "inf": 9, "elements": 81, "lowest": True} | changes))
    one = found("checkpoint-non-finite", facts(non_finite=[bias], non_finite_tensors=1))
    assert (one and one.severity) == severity
    weight = NonFiniteTensor(name="w", nan=1)
    both = facts(non_finite=[weight, bias], non_finite_tensors=25, masks=20)
    one = found("checkpoint-non-finite", both)
    assert (one.severity, "5 of 3 tensors" in one.message) == ("critical", True)

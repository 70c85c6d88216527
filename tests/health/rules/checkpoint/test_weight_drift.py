"""CKP005 weight-drift: runs on which it must speak, and runs on which it must be silent."""

import pytest

from health.rules.checkpoint.common import compared, facts, found
from rldk.schema.checkpoint import Group


def groups(*drifts):
    return [Group(name=f"model.layers.{i}.mlp", drift=drift) for i, drift in enumerate(drifts)]


@pytest.mark.parametrize(
    ("drifts", "speaks"),
    [
        ([1e-3, 1.1e-3, 0.9e-3, 1e-3, 1.2e-3, 8e-3], True),
        ([1e-3, 1.1e-3, 0.9e-3, 1e-3, 1.2e-3, 2.5e-3], False),
        ([1e-3, 1e-3, 1e-3, 1e-3, 8e-3], False),  # too few to tell
        ([0.0, 0.0, 0.0, 0.0, 0.0, 8e-3], False),  # all but one are frozen
        ([1e-3, 8e-3, 2e-3, 30e-3, 4e-3, 60e-3], False),  # they differ by nature
        ([None] * 6, False),
    ],
)
def test_a_layer_is_an_outlier_among_its_like(drifts, speaks):
    changing = compared(unchanged_tensors=0)
    one = found("weight-drift", facts(compared=changing, groups=groups(*drifts)))
    assert (one is not None) == speaks
    if speaks:
        assert one.severity == "info"
        assert "model.layers.5.mlp moved by 0.008" in one.message


def test_a_dtype_or_a_size_that_changed_is_told_but_not_against_the_base():
    changed = {"unchanged_tensors": 0, "retyped": ["w: F32 [2] -> F16 [2]"]}
    assert "F32" in found("weight-drift", facts(compared=compared(**changed))).message
    assert found("weight-drift", facts(compared=compared(**changed, base=True))) is None
    larger = compared(unchanged_tensors=0, bytes_before=980)
    assert "980 bytes" in found("weight-drift", facts(compared=larger)).message
    assert found("weight-drift", facts(compared=compared(unchanged_tensors=0, bytes_before=995))) is None
    unrelated = compared(tensors=0, unchanged_tensors=0, bytes_before=980)
    assert found("weight-drift", facts(compared=unrelated)) is None

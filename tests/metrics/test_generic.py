"""The keys of a loop that follows no framework."""

import pytest

from rldk.metrics import METRICS
from rldk.metrics.dialects.detect import DIALECTS
from rldk.metrics.dialects.generic import GENERIC, dialect_of


def test_every_common_name_is_of_a_metric_that_is_known():
    assert {name.removeprefix("eval_") for name in GENERIC.names.values()} <= METRICS.keys()


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("kl", "kl_mean"),
        ("train/kl", "kl_mean"),
        ("eval_kl", "eval_kl_mean"),
        ("eval/kl", "eval_kl_mean"),
        ("accuracy", "accuracy"),
        ("train/mine", "train/mine"),
    ],
)
def test_a_key_is_read_in_each_of_its_forms(key, name):
    assert dialect_of(None, None).canonical(key) == name


def test_the_table_of_the_dialect_goes_first():
    trl = dialect_of(DIALECTS["trl"], "kto").reader()
    assert trl("kl") == "kl_reference_point_mean"
    assert trl("gradient_norm") == "grad_norm"

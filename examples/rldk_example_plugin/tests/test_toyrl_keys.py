"""The keys of ToyRL have the names of rldk."""

import pytest

from rldk.metrics import metric_of
from rldk_example_plugin.toyrl_keys import TOYRL


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("return/avg", "reward_mean"),
        ("return/format", "rewards/format/mean"),
        ("eval_return/avg", "eval_reward_mean"),
        ("my_metric", "my_metric"),
    ],
)
def test_a_key_has_its_canonical_name(key, name):
    assert TOYRL.canonical(key) == name


def test_each_name_is_a_metric_of_rldk():
    assert all(metric_of(name) for name in TOYRL.names.values())


def test_two_keys_never_share_a_name():
    assert len(set(TOYRL.names.values())) == len(TOYRL.names)

"""What pyproject.toml registers is there."""

import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

from rldk_example_plugin.low_reward import LowReward
from rldk_example_plugin.toyrl_keys import TOYRL
from rldk_example_plugin.toyrl_log import ADAPTER

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())


def test_the_entry_points_lead_to_the_rule_the_adapter_and_the_dialect():
    groups = PROJECT["project"]["entry-points"]
    found = {
        group: [EntryPoint(name, value, group).load() for name, value in points.items()]
        for group, points in groups.items()
    }
    assert found == {"rldk.rules": [LowReward], "rldk.adapters": [ADAPTER], "rldk.dialects": [TOYRL]}

"""No verdict depends on the unit of the reward: real runs in other units give the same findings."""

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rldk.health import RULES, Monitor, diagnose
from rldk.runs import open_run

BENCHMARK = Path(__file__).parents[2] / "benchmarks/detection"
ONLINE = ("grpo", "rloo", "sim-grpo", "sim-ppo")
SAMPLE = [
    folder / "runs" / name
    for folder, every in ((BENCHMARK, 6), (BENCHMARK / "wide", 8))
    for name in [
        name
        for name in sorted(json.loads((folder / "labels.json").read_text()))
        if name.startswith(ONLINE) and not name.endswith("log10")
    ][::every]
]
LEVELS = ("zero-advantage", "zero-gradient", "no-learning")
"""Rules that a success rate excuses, which zero-advantage takes from the level of a reward of 0 to 1, with
what it explains."""
TOTALS = ("reward_mean", "episode_reward_mean", "eval_reward_mean")
SPREADS = ("reward_std", "eval_reward_std")
FUNCTIONS = ("rewards/", "eval_rewards/")


def in_other_units(values, scale, offset):
    """The values of a record with `scale * reward + offset` as the reward, and its functions to scale."""
    other = dict(values)
    for name, value in values.items():
        if value is not None and name in TOTALS:
            other[name] = scale * value + offset
        elif value is not None and (name in SPREADS or name.startswith(FUNCTIONS)):
            other[name] = scale * value
    return other


def findings(run, scale, offset):
    monitor = Monitor(run.context(), RULES)
    monitor.begin()
    for at in run.observations():
        values = in_other_units(at.values, scale, offset) if at.kind == "log" else at.values
        monitor.observe(msgspec.structs.replace(at, values=values))
    assert not monitor.failed
    found = [one for one in diagnose(monitor).findings if one.rule not in LEVELS]
    return sorted((one.rule, one.severity, one.onset_step, one.caused_by or "") for one in found)


@pytest.mark.parametrize("path", SAMPLE, ids=lambda path: path.name)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scale=st.sampled_from([0.01, 0.5, 3.0, 100.0]), offset=st.sampled_from([-7.0, 0.0, 5.0]))
def test_a_run_in_other_units_has_the_same_findings(path, scale, offset):
    run = open_run(path)
    assert findings(run, scale, offset) == findings(run, 1.0, 0.0)

"""No verdict depends on the unit of the reward: real runs in other units give the same findings."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rldk.health import Monitor, Observation, diagnose
from rldk.health.rules.reward.dead_reward import DeadReward
from rldk.health.rules.reward.proxy_divergence import ProxyDivergence
from rldk.health.rules.reward.reward_collapse import RewardCollapse
from rldk.runs import open_run

BENCHMARK = Path(__file__).parents[2] / "benchmarks/detection"
RULES = (RewardCollapse, ProxyDivergence, DeadReward)
SAMPLE = [
    name
    for name in sorted(json.loads((BENCHMARK / "labels.json").read_text()))
    if name.startswith(("grpo", "rloo", "sim-grpo")) and not name.endswith("log10")
][::5][:20]


def in_other_units(values, scale, offset):
    """The values of a record with `scale * reward + offset` in place of the reward; without its parts."""
    other = {name: value for name, value in values.items() if not name.startswith("rewards/")}
    if other.get("reward_mean") is not None:
        other["reward_mean"] = scale * other["reward_mean"] + offset
    if other.get("reward_std") is not None:
        other["reward_std"] = scale * other["reward_std"]
    return other


def findings(run, scale, offset):
    monitor = Monitor(run.context(), RULES)
    monitor.begin()
    for at in run.observations():
        values = in_other_units(at.values, scale, offset) if at.kind == "log" else at.values
        monitor.observe(Observation(at.step, at.kind, values, at.phase, detail=at.detail, ends=at.ends))
    assert not monitor.failed
    return [(one.rule, one.severity) for one in diagnose(monitor).findings]


@pytest.mark.parametrize("name", SAMPLE)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scale=st.sampled_from([0.01, 0.5, 3.0, 100.0]), offset=st.sampled_from([-7.0, 0.0, 5.0]))
def test_a_run_in_other_units_has_the_same_findings(name, scale, offset):
    run = open_run(BENCHMARK / "runs" / name)
    assert findings(run, scale, offset) == findings(run, 1.0, 0.0)

"""What rldk.testing offers to tests of rules."""

import inspect
import re
from textwrap import dedent

import numpy as np
import pytest

import rldk.testing
from rldk import Rule, Severity, Verdict
from rldk.metrics.aliases import REWARD
from rldk.testing import diagnosis, event, found, judged, line, noise


class LowReward(Rule):
    """The reward is low."""

    code, name, severity = "MY001", "low-reward", Severity.WARNING
    needs = ("reward_mean",)

    def start(self):
        self.reward = self.chart.track("reward_mean")

    def observe(self, at):
        if self.reward.ema10 >= 0.5:
            return None
        return Verdict(severity=Severity.WARNING, message="low", evidence={})


class Broken(LowReward):
    """It fails."""

    code, name = "MY002", "broken"

    def observe(self, at):
        raise ZeroDivisionError


def test_the_example_in_the_docstring_is_a_test_that_passes():
    (block,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(rldk.testing), re.DOTALL)
    names = {}
    exec(compile(dedent(block), "testing.py", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    assert len(tests) == 2
    for test in tests:
        test()


def test_a_rule_is_named_or_given():
    assert found({"loss": [1.0] * 5 + [float("nan")] * 20}, "non-finite").severity == "critical"
    assert found({"reward_mean": [0.1] * 20}, LowReward).rule == "low-reward"
    assert found({"reward_mean": [0.1] * 20}, "low-reward", rules=[LowReward]).rule == "low-reward"
    assert found({"reward_mean": [0.9] * 20}, LowReward) is None


@pytest.mark.parametrize(
    ("rule", "algorithm", "says"),
    [
        ("reward-colapse", "grpo", "no rule 'reward-colapse' \\(did you mean 'reward-collapse'"),
        ("low-reward", "grpo", "no rule 'low-reward'"),
        (LowReward, "grpo", "low-reward could not judge this run: log reward_mean"),
        ("margin-collapse", "dpo", "margin-collapse could not judge this run: "),
        ("margin-collapse", "grpo", "margin-collapse could not judge this run: it is not for grpo"),
    ],
)
def test_a_rule_that_judged_nothing_fails_the_test(rule, algorithm, says):
    with pytest.raises(ValueError, match=says):
        found({"reward": [0.9] * 20}, rule, algorithm=algorithm)


def test_a_rule_that_raises_fails_the_test():
    with pytest.raises(ZeroDivisionError):
        judged({"reward_mean": [0.1]}, rules=[Broken])


def test_an_option_that_is_misspelt_fails_the_test():
    with pytest.raises(ValueError, match="it has: none"):
        diagnosis({"reward_mean": [0.1]}, rules=[LowReward], thresholds={"low-reward": {"lest": 1}})


def test_a_short_column_is_absent_later_and_steps_may_be_apart():
    monitor = judged({"loss": [1.0] * 20, "reward_mean": [0.5] * 10}, spacing=5, options={"beta": 0.1})
    assert (monitor.records, monitor.last_step) == (20, 100)
    assert monitor.chart.track(REWARD).count == 10
    assert monitor.context.number("beta") == 0.1


def test_series_are_the_same_each_time():
    assert list(line(0, 1, 3)) == [0.0, 0.5, 1.0]
    assert np.array_equal(noise(50, 2.0, seed=1), noise(50, 2.0, seed=1))
    assert not np.array_equal(noise(50, seed=1), noise(50, seed=2))
    assert noise(10_000, 2.0, rho=0.5, heavy=True).std() == pytest.approx(2.0, rel=0.1)


def test_an_event_holds_the_metrics():
    one = event(3, "eval", ("resumed:from_step=2",), eval_loss=0.5)
    assert (one.step, one.phase, one.notes) == (3, "eval", ("resumed:from_step=2",))
    assert dict(one.metrics) == {"eval_loss": 0.5}

"""What a rule says of itself."""

import inspect
import re
from textwrap import dedent

from rldk.health import RULES, Rule, RuleOptions, Severity, find_rule
from rldk.testing import found


class LowOptions(RuleOptions, frozen=True):
    least: float = 0.5


class Shared(Rule):
    needs = ("reward_mean",)


class Low(Rule[LowOptions]):
    code, name, severity = "MY001", "low", Severity.WARNING


def test_the_brackets_name_the_options():
    assert Low.Options is LowOptions
    assert Shared.Options is RuleOptions


def test_the_example_in_the_docstring_is_a_rule():
    (block,) = re.findall(r"```python\n(.*?)```", inspect.getdoc(Rule), re.DOTALL)
    names = {"__name__": "example"}
    exec(compile(dedent(block), "rule.py", "exec"), names)
    rule = names["LowReward"]
    assert found({"reward_mean": [0.3] * 20}, rule).first_step == 10
    assert found({"reward_mean": [0.7] * 20}, rule) is None
    assert rule.Options is names["LowRewardOptions"]


def test_a_subclass_has_the_options_of_its_base():
    class Lower(Low):
        name = "lower"

    assert Lower.Options is LowOptions


def test_a_rule_without_a_docstring_is_summed_up_by_its_name():
    assert Low.summary() == "low"
    assert find_rule("non-finite").summary() == "A logged value is NaN or infinite."


def test_options_of_a_rule_of_rldk_are_named_after_it():
    names = {rule: rule.Options.__name__ for rule in RULES if rule.Options is not RuleOptions}
    assert len(names) > 50
    assert all(options == f"{rule.__name__}Options" for rule, options in names.items())


def test_weights_are_lost_where_they_are_not_finite_alone():
    assert [rule.name for rule in RULES if rule.forbids_saving] == ["non-finite"]

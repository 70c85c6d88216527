"""Rules of other packages, and of the caller."""

from functools import partial

import pytest

from plugins import register
from processes import run_script
from rldk.health import RULES, Rule, RuleOptions, Settings, Severity, find_rule, installed_rules, select
from rldk.health.installed_rules import known_rules

SOURCE = '''
from rldk.health import Rule, RuleOptions, Severity

class Options(RuleOptions, frozen=True):
    """Thresholds of {name}."""

    least: float = 0.5
    """Level."""

class Mine(Rule[Options]):
    """Something of mine."""

    code, name, severity = "{code}", "{name}", Severity.WARNING
'''


def rule(code="MY001", name="mine", **members):
    return type("Mine", (Rule,), {"code": code, "name": name, "severity": Severity.INFO, **members})


class Demanding(RuleOptions, frozen=True):
    """An option without a default."""

    least: float
    """Level."""


@pytest.fixture
def installed(installed):
    """Installs a package of rules: its entry points, and the source of its modules by name."""
    return partial(installed, "rldk.rules")


def own_rules():
    return [rule.name for rule in installed_rules() if rule not in RULES]


def test_an_entry_point_registers_a_rule(installed):
    installed("mine = plugin_a:Mine", plugin_a=SOURCE.format(code="MY001", name="mine"))
    assert own_rules() == ["mine"]
    assert installed_rules()[: len(RULES)] == RULES
    assert find_rule("mine") is find_rule("my001") is installed_rules()[-1]
    assert select(["MY"]) == installed_rules()[-1:]
    assert find_rule("mine") not in select(ignore=["mine"])
    monitor = Settings(select=("mine",), thresholds={"mine": {"least": 0.7}}).check().monitor(context())
    assert [one.options.least for one in monitor.rules] == [0.7]


def test_an_entry_point_may_register_several(installed):
    source = (
        SOURCE.format(code="MY001", name="mine") + "class Other(Mine):\n    code, name = 'MY002', 'other'\n"
    )
    installed("mine = plugin_a:RULES", plugin_a=source + "RULES = [Mine, Other]")
    assert own_rules() == ["mine", "other"]


def test_a_plug_in_that_fails_is_left_out_with_one_warning(installed, caplog):
    installed(
        "a = plugin_no_such_module",
        "b = plugin_b:Missing",
        "c = plugin_c:Mine",
        plugin_b="",
        plugin_c=SOURCE.format(code="MY001", name="mine"),
    )
    assert own_rules() == own_rules() == ["mine"]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "plugin_no_such_module is left out: ModuleNotFoundError" in caplog.messages[0]
    assert "plugin_b:Missing is left out: AttributeError" in caplog.messages[1]


def test_metadata_that_cannot_be_read_costs_no_rule_of_rldk(installed, monkeypatch, caplog):
    def broken(**_):
        raise ValueError("broken metadata")

    monkeypatch.setattr("importlib.metadata.entry_points", broken)
    assert installed_rules() == RULES
    assert caplog.messages == ["rldk: plug-ins of rldk.rules are left out: ValueError: broken metadata"]


@pytest.mark.parametrize(
    ("code", "name", "says"),
    [
        ("MY001", "kl-blowup", "kl-blowup (MY001) clashes with kl-blowup (POL001)"),
        ("OPT001", "mine", "mine (OPT001) clashes with non-finite (OPT001)"),
        ("MY001", "Mine rule", "must be lower-case words"),
        ("my-1", "mine", "must be like MY001"),
    ],
)
def test_a_rule_whose_name_clashes_is_left_out_with_a_warning(installed, caplog, code, name, says):
    installed("mine = plugin_a:Mine", plugin_a=SOURCE.format(code=code, name=name))
    assert own_rules() == []
    (message,) = caplog.messages
    assert message.startswith("rldk: a rule of the plug-in plugin_a:Mine is left out: ")
    assert says in message


def test_of_two_plug_ins_that_clash_the_first_stays(installed, caplog):
    installed(
        "a = plugin_a:Mine",
        "b = plugin_b:Mine",
        plugin_a=SOURCE.format(code="MY001", name="mine"),
        plugin_b=SOURCE.format(code="MY002", name="mine"),
    )
    assert own_rules() == ["mine"]
    assert find_rule("mine").code == "MY001"
    assert len(caplog.messages) == 1


def test_plug_ins_are_not_loaded_before_they_are_asked_for(tmp_path):
    register(tmp_path / "package", "rldk.rules", "a = plugin_loud", plugin_loud="print('loaded')")
    asked = "rldk.health.installed_rules()"
    script = "import sys; sys.path.insert(0, {!r}); import rldk, rldk.cli, rldk.health, rldk.doctor.judge; {}"
    folder = str(tmp_path / "package")
    assert "loaded" not in run_script(script.format(folder, "")).stdout
    assert "loaded" in run_script(script.format(folder, asked)).stdout


def test_rules_of_the_caller_follow_those_that_are_installed():
    mine = rule()
    assert known_rules([mine, mine, RULES[0]]) == (*installed_rules(), mine)
    assert select(["mine", "OPT001"], rules=[mine]) == (find_rule("OPT001"), mine)
    assert find_rule("mine", [mine]) is mine


@pytest.mark.parametrize(
    ("wrong", "error", "says"),
    [
        (rule(), None, ""),
        ("mine", TypeError, "'mine' is no subclass of rldk.Rule"),
        (int, TypeError, "is no subclass"),
        (Rule, ValueError, "Rule has no code and no name and no severity"),
        (rule(name="truncation"), ValueError, "clashes with truncation"),
        (rule(shown_by=("befor",)), ValueError, "mine names 'befor', which is none of before, since"),
        (rule(explained_by=("mine",)), ValueError, "mine explains itself: mine by mine"),
        (rule(severity="warning"), TypeError, "the severity of mine must be a Severity, not 'warning'"),
        (rule(needs="loss"), TypeError, "`needs` of mine must be a tuple of texts, not 'loss'"),
        (rule(needs=None), TypeError, "`needs` of mine must be a tuple of texts, not None"),
        (rule(explained_by="truncation"), TypeError, "`explained_by` of mine must be a tuple of texts"),
        (rule(explained_by=(1,)), TypeError, "`explained_by` of mine must be a tuple of texts"),
        (rule(kinds=("logs",)), ValueError, "mine names 'logs', which is none of log, checkpoint"),
        (rule(phases=("test",)), ValueError, "mine names 'test', which is none of train, eval"),
        (rule(Options=dict), TypeError, "the options of mine must be a subclass of RuleOptions"),
        (rule(Options=Demanding), ValueError, "each option of mine must have a default: .*'least'"),
        (rule(answers=("why",)), ValueError, "mine names 'why', which is none of loss-near-zero"),
    ],
)
def test_a_rule_of_the_caller_that_cannot_be_used_is_an_error(wrong, error, says):
    settings = Settings(rules=(wrong,))
    if error is None:
        assert settings.check() is settings
    else:
        with pytest.raises(error, match=says):
            settings.check()


def test_rules_that_explain_each_other_are_an_error():
    """Their findings would have no root, and no page would show them."""
    first = rule("MY001", "first", explained_by=("second", "truncation"))
    second = rule("MY002", "second", explained_by=("first",))
    assert known_rules([first])
    assert known_rules([second])
    with pytest.raises(ValueError, match="second explains itself: "):
        known_rules([first, second])


def context():
    from rldk.health import RunContext

    return RunContext()

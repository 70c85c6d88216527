"""Settings: the thresholds that the documentation names are thresholds that the rules have."""

import ast
import re
from pathlib import Path

import msgspec
import pytest

from rldk.health import Rule, RuleOptions, RunContext, Settings, Severity, find_rule, options_of

ROOT = Path(__file__).parents[2]
OWN = ROOT / "docs" / "own_rules.md"  # its thresholds are those of a rule that it defines, and it runs
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("src/**/*.py")} - {OWN})
_RULE = r'"[\w-]+": \{"\w+": [^{}]+\}'
MAPPING = re.compile(rf"\{{{_RULE}(?:,\s+{_RULE})*\}}")
ASSIGNMENT = re.compile(r"--threshold ([\w-]+)\.(\w+)=(-?\d[\d.e-]*|True|False)")


def examples_in(text):
    """The thresholds that a text sets, as `alert_thresholds` and as `--threshold` do."""
    mappings = [ast.literal_eval(found) for found in MAPPING.findall(text)]
    assignments = ASSIGNMENT.findall(text)
    return [*mappings, *({rule: {name: ast.literal_eval(value)}} for rule, name, value in assignments)]


EXAMPLES = [
    pytest.param(example, id=f"{page.relative_to(ROOT).as_posix()} {example}")
    for page in PAGES
    for example in examples_in(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_thresholds_that_pages_and_docstrings_name_are_accepted(example):
    Settings(thresholds=example).check()


def test_the_examples_of_pages_and_docstrings_are_found():
    sources = {str(example.id).partition(" ")[0] for example in EXAMPLES}
    assert {"docs/callback.md", "docs/doctor.md", "src/rldk/integrations/trl/callback.py"} <= sources


class MineOptions(RuleOptions, frozen=True):
    """Thresholds of mine."""

    least: float = 0.5
    """Level."""


class Mine(Rule[MineOptions]):
    """Something of mine."""

    code, name, severity = "MY001", "mine", Severity.WARNING


def test_a_record_of_settings_gives_the_same_settings():
    settings = Settings(
        select=("OPT", "kl-blowup"),
        ignore=("OPT001",),
        thresholds={"kl-blowup": {"times": 4.0}},
        truth_metric="eval_reward",
    )
    assert Settings.of_record(msgspec.json.decode(msgspec.json.encode(settings.to_record()))) == settings
    assert Settings.of_record(Settings().to_record()) == Settings()
    assert "rules" not in Settings().to_record()


def recorded_of(settings):
    return msgspec.json.decode(msgspec.json.encode(settings.to_record()))


def test_a_record_of_no_rules_stays_one_of_no_rules():
    none = Settings(select=())
    assert Settings.of_record(recorded_of(none)) == none
    assert RECORDED.overridden_by(none).select == ()
    assert Settings.of_record({"select": ["no-such-rule"]}).select is None


def test_a_record_keeps_what_it_says_of_rules_that_the_caller_passes(caplog):
    live = Settings(
        select=("mine", "OPT"), ignore=("MY001",), thresholds={"mine": {"least": 0.1}}, rules=(Mine,)
    )
    assert Settings.of_record(recorded_of(live), [Mine]) == live
    assert Settings.of_record(recorded_of(Settings(rules=(Mine,))), [Mine]) == Settings(rules=(Mine,))
    assert not caplog.messages
    with pytest.raises(TypeError, match="no subclass"):
        Settings.of_record({}, [int])


def test_an_option_that_is_not_known_here_costs_no_other_of_its_rule():
    recorded = {
        "thresholds": {"non-finite": {"records": 5, "gone": 1, "scaler_records": "many"}, "GEN003": 3}
    }
    assert Settings.of_record(recorded).thresholds == {"non-finite": {"records": 5}}


def test_thresholds_by_code_and_by_name_are_those_of_one_rule_live_and_afterwards():
    live = Settings(thresholds={"OPT001": {"records": 5}, "non-finite": {"scaler_records": 9}})
    (options,) = options_of(live.thresholds).values()
    assert (options.records, options.scaler_records) == (5, 9)
    after = Settings.of_record(recorded_of(live)).overridden_by(Settings())
    assert list(options_of(after.thresholds).values()) == [options]


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_threshold_that_is_not_finite_is_an_error_wherever_it_is_used(value):
    settings = Settings(thresholds={"OPT001": {"records": value}})
    for use in (settings.check, lambda: settings.monitor(RunContext())):
        with pytest.raises(ValueError, match=r"non-finite\.records must be a finite number"):
            use()


def test_a_record_names_the_own_rules_that_judged():
    assert Settings(rules=(Mine,)).to_record()["rules"] == ["mine"]
    assert "rules" not in Settings(rules=(Mine,), ignore=("mine",)).to_record()


def test_what_is_not_known_here_costs_nothing_else_of_a_record(caplog):
    recorded = {
        "select": ["no-such-rule", "OPT"],
        "ignore": ["mine", "GEN"],
        "thresholds": {
            "mine": {"least": 1},
            "truncation": {"no_such_option": 1},
            "kl-blowup": {"times": 4.0},
            "divergence": 3,
        },
        "truth_metric": 5,
        "rules": ["never-installed", "no-learning"],
        "newer": True,
    }
    settings = Settings.of_record(recorded)
    expected = Settings(select=("OPT",), ignore=("GEN",), thresholds={"kl-blowup": {"times": 4.0}})
    assert settings == Settings.of_record(recorded) == expected
    assert caplog.messages == [
        "rldk: ignoring rules of the live run that are not installed here: never-installed"
    ]


@pytest.mark.parametrize("recorded", [None, [], "OPT", {"select": 3, "ignore": None, "thresholds": ["x"]}])
def test_a_record_that_holds_no_settings_gives_the_defaults(recorded):
    assert Settings.of_record(recorded) == Settings()


RECORDED = Settings(
    ignore=("REW",),
    thresholds={"no-learning": {"records": 200}, "OPT001": {"records": 3}},
    truth_metric="exact",
)


def test_settings_that_say_nothing_override_nothing():
    found = RECORDED.overridden_by(Settings())
    assert found.thresholds == {"no-learning": {"records": 200}, "non-finite": {"records": 3}}
    assert (found.select, found.ignore, found.truth_metric) == (None, ("REW",), "exact")


def test_a_threshold_overrides_that_option_alone():
    given = Settings(thresholds={"non-finite": {"scaler_records": 6}, "REW004": {"records": 50}})
    found = RECORDED.overridden_by(given)
    assert found.thresholds["non-finite"] == {"records": 3, "scaler_records": 6}
    assert found.thresholds[find_rule("REW004").name]["records"] == 50
    assert RECORDED.thresholds["OPT001"] == {"records": 3}


def test_rules_of_the_caller_judge_beside_those_of_the_settings_that_they_override():
    given = Settings(rules=(Mine,), thresholds={"mine": {}})
    assert RECORDED.overridden_by(given).overridden_by(given).rules == (Mine,)


def test_what_is_selected_by_name_is_judged_also_where_it_was_left_out():
    found = RECORDED.overridden_by(Settings(select=("dead-reward",)))
    assert (found.select, found.ignore) == (("dead-reward",), None)


def test_what_is_ignored_and_the_truth_metric_are_overridden():
    found = RECORDED.overridden_by(Settings(ignore=("GEN",), truth_metric="pass"))
    assert (found.ignore, found.truth_metric) == (("GEN",), "pass")
    assert RECORDED.overridden_by(Settings(ignore=())).ignore == ()

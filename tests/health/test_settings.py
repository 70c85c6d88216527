"""Settings: the thresholds that the documentation names are thresholds that the rules have."""

import ast
import re
from pathlib import Path

import msgspec
import pytest

from rldk.health import Rule, Settings, Severity, find_rule

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


class Mine(Rule):
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
    assert (found.select, found.ignore) == (("dead-reward",), ())


def test_what_is_ignored_and_the_truth_metric_are_overridden():
    found = RECORDED.overridden_by(Settings(ignore=("GEN",), truth_metric="pass"))
    assert (found.ignore, found.truth_metric) == (("GEN",), "pass")

import inspect
import json
import re
import sys

import pytest
from click.testing import CliRunner

from rldk.cli import main
from rldk.health import RULES, Rule
from rldk.report.rule_page import as_markdown, index_markdown, options, properties, sections

UNFINISHED = {
    *("which", "whom", "whose", "that", "than", "as", "of", "with", "without", "above", "below", "from"),
    *("to", "at", "by", "in", "on", "for", "and", "or", "a", "an", "the"),
}


def rldk(*arguments):
    return CliRunner().invoke(main, list(arguments))


def test_every_rule_is_listed():
    page = rldk("rules").stdout
    for rule in RULES:
        assert f"{rule.code}  {rule.name}" in page
    assert max(map(len, page.splitlines())) <= 80
    told = json.loads(rldk("rules", "--format", "json").stdout)
    assert [(one["code"], one["name"]) for one in told] == [(rule.code, rule.name) for rule in RULES]


def test_no_word_is_cut_where_it_is_narrow_and_no_line_is_long_where_it_is_wide():
    narrow = CliRunner().invoke(main, ["rules"], env={"COLUMNS": "60"}).stdout
    assert "\u2026" not in narrow
    assert max(map(len, narrow.splitlines())) <= 60
    page = CliRunner().invoke(main, ["rules", "dead-reward"], env={"COLUMNS": "200"}).stdout
    assert max(map(len, page.splitlines())) <= 100


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_has_a_page_with_its_sections_and_thresholds(rule):
    page = rldk("rules", rule.name).stdout
    assert page.startswith(f"{rule.name} ({rule.code})\n")
    titles = [title for title, _ in sections(rule)[1:]]
    assert titles[:1] == ["What it looks for"]
    assert titles[-1] == "Sources"
    assert all(f"\n{title}\n" in page for title in titles)
    for option in options(rule):
        assert option.name in page
        assert option.meaning, f"{rule.name}.{option.name} has no docstring"
    written = as_markdown(rule)
    assert f"# {rule.name} ({rule.code})" in written
    assert all(f"## {title}" in written for title in titles)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_what_a_threshold_means_is_a_whole_sentence(rule):
    for option in options(rule):
        assert option.meaning.endswith("."), option
        last_words = re.findall(r"(\w+)[.;:](?:\s|$)", option.meaning)
        assert UNFINISHED.isdisjoint(last_words), option


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_the_page_of_a_rule_tells_what_its_findings_become_when_they_are_over(rule):
    source = inspect.getsource(sys.modules[rule.__module__])
    assert set(Rule.__annotations__).isdisjoint(re.findall(r"self\.(\w+) = ", source))
    assert ("is_lasting=" in source) is bool(rule.lasting)
    (text,) = [text for word, text in properties(rule) if word == "when it stops"]
    assert rule.lasting in text


def test_a_rule_is_found_by_its_code_and_a_wrong_name_is_helped():
    assert rldk("rules", "rew007").stdout == rldk("rules", "reward-collapse").stdout
    result = rldk("rules", "reward-colapse")
    assert result.exit_code == 2
    assert "'reward-collapse'" in result.stderr
    (told,) = json.loads(rldk("rules", "REW007", "-f", "json").stdout)
    assert told["page"].startswith(told["summary"])
    assert told["options"]


def test_the_index_links_to_every_page():
    index = index_markdown(RULES)
    assert all(f"[{rule.name}]({rule.name}.md)" in index for rule in RULES)


def test_a_word_in_names_lists_these_rules():
    found = json.loads(rldk("rules", "reward", "--format", "json").stdout)
    assert [one["name"] for one in found] == [rule.name for rule in RULES if "reward" in rule.name]
    assert "page" not in found[0]
    page = rldk("rules", "Reward").stdout
    assert "reward-collapse" in page
    assert "kl-blowup" not in page
    assert rldk("rules", "reward", "kl-blowup").exit_code == 2

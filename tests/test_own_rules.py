"""A rule of somebody else is judged, shown and documented like one of rldk's."""

import json
import re
import tomllib
from io import StringIO
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from rldk import Rule, Severity, Verdict, open_run
from rldk.cli import main
from rldk.doctor.judge import judge
from rldk.health import Monitor, Settings
from rldk.report.examination import examine
from rldk.report.github import as_github
from rldk.report.markdown import as_markdown
from rldk.report.terminal import console_on, print_page
from stories import collapsing, learning, write

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "rldk_example_plugin"
PAGE = (ROOT / "docs" / "own_rules.md").read_text()


class TooLow(Rule):
    """The reward is below a half."""

    code, name, severity, needs = "MY001", "too-low", Severity.WARNING, ("reward_mean",)

    def start(self):
        self.reward = self.chart.track("reward_mean")

    def observe(self, at):
        if self.reward.ema10 < 0.5:
            evidence = {"reward_mean": self.reward.ema10}
            return Verdict(severity=Severity.WARNING, message="low", evidence=evidence)
        return None


@pytest.fixture
def example(installed):
    """The rules of the example package, as if it were installed."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    points = project["entry-points"]["rldk.rules"].items()
    installed("rldk.rules", *(f"{name} = {value}" for name, value in points))


def rldk(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_every_page_shows_an_own_rule_that_is_passed_in(tmp_path):
    run = open_run(write(tmp_path, learning(30)).events)
    exam = examine(run, Monitor(run.context(), [TooLow]), source="x")
    shown = StringIO()
    print_page(console_on(shown), exam)
    assert "The reward is below a half, from the start (step 1)." in shown.getvalue()
    assert "The reward is below a half" in as_markdown(exam)
    assert any("too-low" in line for line in as_github(exam))


def test_settings_judge_by_rules_that_are_passed_in(tmp_path):
    run = open_run(write(tmp_path, learning(30)).events)
    (finding,) = judge(run, settings=Settings(rules=(TooLow,), select=("too-low",))).findings
    assert (finding.rule, finding.summary) == ("too-low", "The reward is below a half.")


def test_an_installed_rule_is_listed_and_has_a_page(example):
    assert re.search(r"^MY001 +low-reward", rldk("rules").stdout, re.MULTILINE)
    rows = json.loads(rldk("rules", "--format", "json").stdout)
    assert rows[-1]["options"] == {"least": 0.5, "records": 100}
    page = rldk("rules", "low-reward").stdout
    assert "Mean of ten records below which the reward is low." in page
    assert re.search(r"explained by +truncation, dead-reward", page)
    assert "low-reward" in rldk("explain", "reward_mean").stdout


DEMANDING = """
from rldk import Rule, Severity

class Demanding(Rule):
    code, name, severity, needs = "MY001", "demanding", Severity.WARNING, ("reward_mean",)

    def start(self):
        self.beta = self.context.options["no_such_option"]
"""


def test_an_installed_rule_that_cannot_be_made_without_a_run_costs_no_page(tmp_path, installed):
    installed("rldk.rules", "a = plugin_demanding:Demanding", plugin_demanding=DEMANDING)
    assert "demanding" in rldk("explain", "reward_mean").stdout
    write(tmp_path / "run", learning())
    done = rldk("doctor", tmp_path / "run", "--format", "json", "--select", "demanding,OPT")
    (unable,) = [one for one in json.loads(done.stdout)["not_checked"] if one["rule"] == "demanding"]
    assert unable["how"] == "it failed in plugin_demanding (KeyError: 'no_such_option'): please report it"


def test_an_installed_rule_judges_and_takes_thresholds(example, tmp_path):
    write(tmp_path / "run", learning())
    select = ("doctor", tmp_path / "run", "--select", "low-reward", "--format", "json")
    assert json.loads(rldk(*select).stdout)["findings"] == []
    low = rldk(*select, "--threshold", "low-reward.least=0.99", "--threshold", "low-reward.records=20")
    (finding,) = json.loads(low.stdout)["findings"]
    assert (finding["rule"], finding["code"], finding["first_step"]) == ("low-reward", "MY001", 20)
    assert finding["summary"] == "The reward stays below a level that the task is known to reach."
    assert finding["remedies"] == ["raise `learning_rate` (now 1e-05, try 3e-05)"]
    everything = rldk("doctor", tmp_path / "run", "--format", "json", "--ignore", "low-reward")
    assert '"low-reward"' not in everything.stdout


def test_an_installed_rule_takes_its_place_in_the_story(example, tmp_path):
    write(tmp_path / "run", collapsing())
    found = {one.rule: one for one in judge(open_run(tmp_path / "run")).findings}
    assert found["low-reward"].caused_by == "truncation"


def test_a_misspelt_rule_of_a_plug_in_is_named(example):
    said = rldk("rules", "low-rewart")
    assert said.exit_code == 2
    assert "did you mean 'low-reward'?" in said.stderr


def test_a_run_that_was_judged_by_a_rule_that_is_missing_here_is_judged_without_it(tmp_path, caplog):
    files = write(tmp_path, collapsing())
    info = msgspec.json.decode(files.run.read_bytes())
    settings = Settings(
        rules=(TooLow,), thresholds={"too-low": {}, "reward-collapse": {"records": 1000}}, ignore=("GEN",)
    )
    info["attempts"][0]["judging"] = settings.check().to_record()
    files.run.write_bytes(msgspec.json.encode(info))
    done = rldk("doctor", tmp_path, "--format", "json")
    assert done.exit_code in (0, 1), done.output
    assert "reward-collapse" not in {one["rule"] for one in json.loads(done.stdout)["findings"]}
    assert "not installed here: too-low" in caplog.text


def test_the_python_of_the_documentation_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    names = {"__name__": "own_rules"}
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "own_rules.md", "exec"), names)
    assert names["callback"]._options.rules == [names["LowReward"]]


def test_the_documentation_names_every_kind_of_sample():
    from rldk.doctor.sample_kinds import SAMPLE_KINDS

    (listed,) = re.findall(r"^- `shown_by` .*$", PAGE, re.MULTILINE)
    assert set(re.findall(r"`([a-z-]+)`", listed)) == set(SAMPLE_KINDS)

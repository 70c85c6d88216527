"""The front door: a path or a Run in, its diagnosis out."""

import json

import msgspec
import pytest
from click.testing import CliRunner

import rldk
from rldk import RLDKError, Rule, RuleOptions, Settings, Severity, Verdict, judge, open_run
from rldk.cli import main
from rldk.errors import RunNotFoundError
from stories import collapsing, learning, write


class TooLow(Rule):
    """The reward is below a half."""

    code, name, severity, needs = "MY001", "too-low", Severity.WARNING, ("reward_mean",)

    def start(self):
        self.reward = self.chart.track("reward_mean")

    def observe(self, at):
        if self.reward.ema10 < 0.5:
            return Verdict(severity=Severity.WARNING, message="low", evidence={})
        return None


def names(diagnosis):
    return {finding.rule for finding in diagnosis.findings}


@pytest.fixture
def ill(tmp_path):
    """A run whose reward is lost, which was judged without the rules of generation while it was live."""
    files = write(tmp_path, collapsing())
    info = msgspec.json.decode(files.run.read_bytes())
    info["attempts"][0]["judging"] = Settings(ignore=("GEN",)).to_record()
    files.run.write_bytes(msgspec.json.encode(info))
    return tmp_path


def test_a_path_as_text_a_path_and_a_run_give_what_the_command_finds(ill):
    done = CliRunner().invoke(main, ["doctor", str(ill), "--format", "json"])
    found = json.loads(done.stdout)["findings"]
    assert "reward-collapse" in {finding["rule"] for finding in found}
    for run in (ill, str(ill), str(ill / "run"), open_run(ill)):
        assert json.loads(msgspec.json.encode(judge(run).findings)) == found


def test_the_log_of_another_tool_is_judged(tmp_path):
    log = tmp_path / "trainer_state.json"
    rows = [{"step": step, "loss": 1.0, "grad_norm": float("nan")} for step in range(1, 31)]
    log.write_text(json.dumps({"global_step": 30, "log_history": rows}))
    assert "non-finite" in names(judge(log))


def test_settings_override_those_that_the_run_was_recorded_with_and_keep_the_others(ill):
    assert "truncation" not in names(judge(ill))
    thresholds = {"reward-collapse": {"records": 1000}}
    found = names(judge(ill, settings=Settings(thresholds=thresholds)))
    assert "truncation" not in found
    assert "reward-collapse" not in found
    assert names(judge(ill, settings=Settings(select=("truncation",)))) == {"truncation"}


def test_own_rules_judge_together_with_the_others_and_take_thresholds_by_name(ill):
    assert {"too-low", "reward-collapse"} <= names(judge(ill, rules=[TooLow]))
    settings = Settings(rules=(TooLow,), thresholds={"too-low": {}})
    assert "too-low" in names(judge(ill, settings=settings, rules=iter([TooLow])))
    assert "too-low" in names(judge(ill, settings=Settings(thresholds={"too-low": {}}), rules=[TooLow]))


class AtMostOptions(RuleOptions, frozen=True):
    """Thresholds of at-most."""

    most: float = 0.0
    """Loss above which there is a finding."""


class AtMost(Rule[AtMostOptions]):
    """The loss is high."""

    code, name, severity, needs = "MY002", "at-most", Severity.WARNING, ("loss",)

    def observe(self, at):
        if at.values["loss"] <= self.options.most:
            return None
        return Verdict(severity=Severity.WARNING, message=f"above {self.options.most}", evidence={})


@pytest.mark.parametrize("most", [-1.0, 1e9])
def test_an_own_rule_judges_with_the_choice_and_the_thresholds_of_the_live_run(ill, most):
    live = Settings(select=("at-most",), thresholds={"at-most": {"most": most}}, rules=(AtMost,))
    info = msgspec.json.decode((ill / "run_run.json").read_bytes())
    info["attempts"][0]["judging"] = live.to_record()
    (ill / "run_run.json").write_bytes(msgspec.json.encode(info))
    found = [(one.rule, one.message) for one in judge(ill, rules=[AtMost]).findings]
    assert found == ([("at-most", "above -1.0")] if most < 0 else [])


def test_the_algorithm_may_be_given_where_the_log_does_not_tell_it(tmp_path):
    write(tmp_path, learning(), algorithm=None)
    unknown, known = judge(tmp_path), judge(tmp_path, algorithm="grpo")
    assert len(known.not_checked) != len(unknown.not_checked)


@pytest.mark.parametrize("other", [None, 5, b"run", ["run"]])
def test_what_is_neither_a_path_nor_a_run_is_a_type_error(other):
    with pytest.raises(TypeError, match=f"judge takes a path or a Run, not {type(other).__name__}"):
        judge(other)


def test_errors_are_those_of_open_run_and_of_the_settings(tmp_path):
    with pytest.raises(RunNotFoundError):
        judge(tmp_path / "nothing")
    write(tmp_path, learning(30))
    with pytest.raises(ValueError, match="did you mean 'reward-collapse'"):
        judge(tmp_path, settings=Settings(ignore=("reward-colapse",)))
    with pytest.raises(TypeError, match=r"no subclass of rldk\.Rule"):
        judge(tmp_path, rules=[object])


def test_it_is_the_front_door():
    assert rldk.judge is judge


def test_a_run_that_recorded_its_report_alone_is_refused_not_called_too_short(tmp_path):
    files = write(tmp_path, learning(30))
    files.events.unlink()
    assert judge(tmp_path).status == "insufficient-data"
    info = msgspec.json.decode(files.run.read_bytes()) | {"end": {"how": "completed", "records": 30}}
    files.run.write_bytes(msgspec.json.encode(info))
    files.final_report.write_text("{}")
    with pytest.raises(RLDKError, match=r"has no events .*\. Its verdict is in .*run_final_report\.json"):
        judge(tmp_path)
    done = CliRunner().invoke(main, ["doctor", str(tmp_path)])
    assert done.exit_code == 2
    assert "Its verdict is in" in done.stderr

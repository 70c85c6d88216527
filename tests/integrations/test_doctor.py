"""The doctor at real trainings: alerts while they run, the same findings afterwards, and the stop."""

import copy
import json

import pytest
import trl
from transformers import TrainerCallback, TrainerControl, TrainerState

import tiny
from events import event, found_in
from integrations import trainings
from integrations.trainings import NEW
from processes import PATIENCE_S
from rldk.doctor.judge import judge
from rldk.health import Rule, RunContext, Settings, Severity, Verdict
from rldk.integrations.trl import RLDKCallback
from rldk.integrations.trl.early_stop import EarlyStop
from rldk.recording.guard import Guard
from rldk.recording.stopper import HOLDS, Stopper
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

pytestmark = pytest.mark.training
compat = pytest.mark.compat


def constant_reward(completions, **kwargs):
    """The same for everything."""
    return [0.0] * len(completions)


class Poison(TrainerCallback):
    """Fills the model's weights with NaN after a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, model=None, **kwargs):
        if state.global_step == self.step:
            for parameter in model.parameters():
                parameter.data.fill_(float("nan"))


def read(path):
    return json.loads(path.read_text())


@compat
def test_a_constant_reward_is_named_while_it_trains_and_afterwards(model, tmp_path, caplog):
    callback = trainings.recorder(tmp_path / "logs")
    trainings.grpo(model, tmp_path, [callback], rewards=constant_reward, max_steps=14).train()
    files = callback.files
    alerts = read(files.alerts)
    (dead,) = [one for one in alerts if one["finding"]["rule"] == "dead-reward"]
    assert dead["step"] <= 12
    assert dead["finding"]["onset_step"] == 1
    lines = [one.getMessage() for one in caplog.records if one.name == "rldk"]
    roots = [one["finding"] for one in alerts if one["finding"]["caused_by"] is None]
    loud = [one["rule"] for one in roots if one["severity"] != "info"]
    assert loud
    assert all(any(f": {rule}: " in line for line in lines) for rule in loud)
    report = read(files.final_report)
    assert report["status"] in ("warning", "critical")
    live = callback._recording.session.recorder.live_doctor.diagnosis()
    assert found_in(RecordedRun(files)) == live
    assert [one["rule"] for one in report["findings"]] == [one.rule for one in live.findings]


@compat
def test_options_of_rules_hold_live_and_afterwards(model, tmp_path):
    callback = trainings.recorder(
        tmp_path / "logs",
        alert_thresholds={"dead-reward": {"records": 3}},
        ignore=["SET", "zero-advantage"],
        truth_metric="rewards/constant_reward/mean",
    )
    trainings.grpo(model, tmp_path, [callback], rewards=constant_reward, max_steps=4).train()
    run = RecordedRun(callback.files)
    (dead,) = [one for one in judge(run).findings if one.rule == "dead-reward"]
    assert dead.first_step == 3
    assert "zero-advantage" not in [one["finding"]["rule"] for one in read(callback.files.alerts)]
    assert run.settings().ignore == ("SET", "zero-advantage")
    assert run.context().truth_metric == "rewards/constant_reward/mean"


class Started(Rule):
    """A record has a loss."""

    code, name, severity, needs = "MY001", "started", Severity.WARNING, ("loss",)

    def observe(self, at):
        return Verdict(severity=Severity.WARNING, message=f"step {at.step}", evidence={})


@compat
def test_an_own_rule_judges_a_training_and_is_missing_afterwards(model, tmp_path, caplog):
    callback = trainings.recorder(tmp_path / "logs", rules=[Started], select=["started", "OPT"])
    trainings.sft(model, tmp_path, [callback], max_steps=2).train()
    (alert,) = [one for one in read(callback.files.alerts) if one["finding"]["rule"] == "started"]
    assert alert["step"] == 1
    assert alert["finding"]["summary"] == "A record has a loss."
    run = RecordedRun(callback.files)
    caplog.clear()
    assert run.settings() == Settings(select=("OPT",))
    assert "not installed here: started" in caplog.text
    assert "started" not in [one.rule for one in judge(run).findings]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rules": [Started, type("Again", (Started,), {})]}, "clashes with started"),
        ({"select": ["non-finit"]}, "did you mean 'non-finite'"),
        ({"ignore": ["XYZ"]}, "no rule 'XYZ'"),
        ({"alert_thresholds": {"dead-reward": {"record": 3}}}, "record"),
        ({"alert_thresholds": {"dead-reward": {"records": "many"}}}, "records"),
        ({"stop_on": "warning"}, "stop_on must be 'critical' or None"),
    ],
    ids=str,
)
def test_what_is_no_rule_or_option_is_refused_at_once(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        RLDKCallback(tmp_path, **arguments)


def test_a_copy_keeps_how_it_judges(tmp_path):
    callback = RLDKCallback(
        tmp_path, select="OPT", rules=[Started], stop_on="critical", truth_metric="eval_reward"
    )
    again = copy.deepcopy(callback)
    assert again._recording._settings == callback._recording._settings
    assert again._options == callback._options


@compat
def test_a_run_whose_weights_are_lost_is_stopped_and_keeps_its_last_checkpoint(model, tmp_path):
    callback = trainings.recorder(tmp_path / "logs", stop_on="critical")
    saving = {"save_strategy": "steps", "save_steps": 20, "save_total_limit": 1}
    trainer = trainings.sft(model, tmp_path, [Poison(21), callback], max_steps=60, **saving)
    trainer.train()
    assert 21 < trainer.state.global_step < 30
    assert [path.name for path in (tmp_path / "out").glob("checkpoint-*")] == ["checkpoint-20"]
    end = read(callback.files.final_report)["end"]
    assert end["how"] == "stopped"
    assert end["detail"].startswith("by rldk: non-finite")


@compat
def test_nothing_is_stopped_unless_asked_for(model, tmp_path):
    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.sft(model, tmp_path, [Poison(3), callback], max_steps=12)
    trainer.train()
    assert trainer.state.global_step == 12
    assert read(callback.files.final_report)["status"] == "critical"


def nan(step):
    return event(step, "train", ("nonfinite:grad_norm=nan",), loss=0.0, grad_norm=None)


def test_one_critical_record_stops_nothing():
    stopper = Stopper(RunContext(algorithm="sft"), Settings())
    assert not stopper.observe(event(1, loss=1.0, grad_norm=1.0))
    stops = [stopper.observe(nan(step)) for step in range(2, 12)]
    assert stops.count(True) == 1
    assert stops.index(True) >= HOLDS - 1


@pytest.mark.parametrize("lost", [True, False])
def test_a_rule_says_whether_the_weights_are_lost(lost):
    class Gone(Rule):
        """It is over."""

        code, name, severity, forbids_saving = "MY001", "gone", Severity.CRITICAL, lost

        def observe(self, at):
            return Verdict(severity=Severity.CRITICAL, message="gone", evidence={})

    stopper = Stopper(RunContext(algorithm="sft"), Settings(rules=(Gone,), select=("gone",)))
    stops = [stopper.observe(event(step, loss=1.0)) for step in range(1, 9)]
    assert stops.count(True) == 1
    assert stopper.reason == "gone: gone"
    assert stopper.worth_saving is not lost


@pytest.mark.parametrize(
    ("code", "metric", "stops"),
    [
        ("SYSX001", "loss", True),
        ("SYS999", "loss", False),  # of the family of the machine
        ("MY001", "my_score", False),  # no canonical metric: the ranks may differ in it
    ],
)
def test_rules_about_the_machine_and_metrics_that_ranks_may_differ_in_stop_nothing(code, metric, stops):
    class Own(Rule):
        """It is over."""

        name, severity, needs = "own", Severity.CRITICAL, (metric,)

        def observe(self, at):
            return Verdict(severity=Severity.CRITICAL, message="gone", evidence={})

    Own.code = code
    stopper = Stopper(RunContext(algorithm="sft"), Settings(rules=(Own,), select=("own",)))
    assert any(stopper.observe(event(step, loss=1.0, my_score=1.0)) for step in range(1, 9)) is stops


def test_a_rule_that_fails_after_a_critical_verdict_stops_nothing():
    class Failing(Rule):
        """It fails at the second record."""

        code, name, severity = "MY001", "failing", Severity.CRITICAL

        def observe(self, at):
            if at.step > 1:
                raise ZeroDivisionError
            return Verdict(severity=Severity.CRITICAL, message="gone", evidence={})

    stopper = Stopper(RunContext(algorithm="sft"), Settings(rules=(Failing,), select=("failing",)))
    assert not any(stopper.observe(event(step, loss=1.0)) for step in range(1, 9))


def test_what_a_resumed_run_logged_before_stops_nothing():
    stopper = Stopper(RunContext(algorithm="sft"), Settings())
    stopper.replay(nan(step) for step in range(20))
    assert stopper.reason is None
    assert not stopper.observe(event(20, loss=1.0, grad_norm=1.0))


@pytest.mark.parametrize(
    ("ill", "saves"),
    [
        ({"loss": 0.0, "grad_norm": 0.0, "mean_token_accuracy": 0.0, "entropy": 2.0}, True),
        ({"grad_norm": float("nan")}, False),
    ],
    ids=["labels masked", "weights lost"],
)
def test_each_rank_comes_to_the_same_verdict_by_itself(tmp_path, ill, saves):
    """Each by its own hooks, whatever one rank alone logs; a rank that does not record writes nothing."""
    args = trl.SFTConfig(**trainings.options(tmp_path))
    steps = {}
    for rank in (0, 1):
        callback = RLDKCallback(tmp_path / f"logs{rank}", "r", stop_on="critical")
        state = TrainerState(is_world_process_zero=rank == 0, max_steps=50)
        control = TrainerControl()
        callback.on_train_begin(args, state, control, model=tiny.Line())
        for step in range(1, 50):
            state.global_step = step
            logs = {"loss": 0.5, "grad_norm": 1.0, "mean_token_accuracy": 0.5, "step_time": rank + 1.0}
            local = {"gpu_power_ratio": float("nan")} if rank == 0 else {}
            callback.on_log(args, state, control, logs=logs | local | (ill if step > 5 else {}))
            if control.should_training_stop:
                assert control.should_save == saves
                steps[rank] = step
                break
        callback.on_train_end(args, state, control)
    assert steps[0] == steps[1] > 6
    assert not (tmp_path / "logs1").exists()


class Unsteady:
    """A rank store that cannot be reached at first."""

    def __init__(self, answers):
        self.answers = answers

    def publish(self, what, text):
        """Take it."""

    def missing(self, what):
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("answers", "stops"),
    [
        ([[]], True),
        ([[1]], False),
        ([RuntimeError("no store"), []], True),
        ([RuntimeError("no store") for _ in range(20)], True),  # the others, who could ask, will
    ],
    ids=["all judge", "one is silent", "asked again", "never known"],
)
def test_who_judges_is_asked_until_it_is_known_and_not_at_the_verdict(answers, stops):
    guard = Guard()
    asked = len(answers)
    stop = EarlyStop(Stopper(RunContext(algorithm="sft"), Settings()), Unsteady(answers), guard, speaks=False)
    control = TrainerControl()
    for step in range(1, 12):
        stop.observe(nan(step), control)
    assert control.should_training_stop is stops
    assert (stop.reason is not None) is stops
    assert len(answers) == max(asked - 11, 0)


def test_a_verdict_that_fails_costs_no_record(tmp_path, monkeypatch):
    def fail(*_):
        raise RuntimeError("no verdict")

    monkeypatch.setattr(EarlyStop, "observe", fail)
    callback = trainings.recorder(tmp_path / "logs", stop_on="critical")
    trainings.line(tmp_path, [callback]).train()
    assert [one.step for one in RecordedRun(callback.files) if one.phase == "train"] == [1, 2, 3, 4]
    assert callback.guard.failures == 5


def test_mild_records_long_after_a_bad_time_stop_nothing():
    stopper = Stopper(RunContext(algorithm="sft"), Settings(select=("non-finite",)))
    stopper.replay(nan(step) for step in range(3))
    stopper.replay(event(step, loss=1.0, grad_norm=1.0) for step in range(3, 400))
    note = ("nonfinite:logits_chosen=nan",)
    mild = (event(step, "train", note, loss=1.0, logits_chosen=None) for step in range(400, 410))
    assert not any(stopper.observe(one) for one in mild)


@compat
def test_two_ranks_stop_together(start, tmp_path):
    process = start(
        """
import os, torch
from pathlib import Path
from integrations import trainings
from integrations.test_doctor import Poison
from rldk.integrations.trl import RLDKCallback
trainings.leave_whole()
here = Path.cwd()
callback = RLDKCallback("logs", "r", stop_on="critical")
trainer = trainings.line(here, [Poison(3), callback], max_steps=60)
trainer.train()
(here / f"steps{os.environ['RANK']}").write_text(str(trainer.state.global_step))
""",
        launcher=("-m", "torch.distributed.run", "--nproc_per_node", "2"),
    )
    _, err = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, err[-2000:]
    steps = {(tmp_path / f"steps{rank}").read_text() for rank in (0, 1)}
    assert len(steps) == 1
    assert 3 < int(steps.pop()) < 20


@compat
def test_a_killed_and_resumed_run_is_judged_as_it_was_live(model, tmp_path):
    first = trainings.recorder(tmp_path / "logs")
    options = {"max_steps": 24, "save_strategy": "steps", "save_steps": 5, "rewards": constant_reward}
    trainer = trainings.grpo(model, tmp_path, [first, trainings.After(13, _stop)], **options)
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    first._recording.session.recorder.close()  # as at the exit of its process
    again = trainings.recorder(tmp_path / "logs")
    trainings.grpo(model, tmp_path, [again], **options).train(resume_from_checkpoint=True)
    trainings.settle()
    assert (
        found_in(RecordedRun(RunFiles(tmp_path / "logs", "r")))
        == again._recording.session.recorder.live_doctor.diagnosis()
    )


def _stop():
    raise KeyboardInterrupt


def test_without_the_jsonl_the_report_still_has_the_findings(model, tmp_path):
    callback = trainings.recorder(tmp_path / "logs", enable_jsonl_logging=False)
    trainings.grpo(model, tmp_path, [callback], rewards=constant_reward, max_steps=12).train()
    assert "dead-reward" in [one["rule"] for one in read(callback.files.final_report)["findings"]]


@pytest.mark.skipif(NEW, reason="the PPO of TRL 1.16 is gone")
@compat
def test_a_trainer_that_pays_no_heed_is_named(model, tmp_path, capsys):
    trainings.ppo(model, tmp_path, [trainings.recorder(tmp_path / "logs", stop_on="critical")]).train()
    assert "pays no heed to stop_on" in capsys.readouterr().err

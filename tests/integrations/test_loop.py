"""`rldk.record`: a loop of one's own is recorded as a trainer is."""

import argparse
import copy
import dataclasses
import gc
import inspect
import json
import math
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from hypothesis import HealthCheck, given, settings
from safetensors.torch import save_file

import rldk
from integrations import trainings
from integrations.test_hooks import LOGS, numbers, same
from processes import PATIENCE_S
from rldk.cli import main
from rldk.doctor.judge import judge
from rldk.integrations import loop_recording, loop_session
from rldk.integrations.loop_facts import rank_of_process, world_size_of_process
from rldk.integrations.loop_recording import LoopRecording
from rldk.metrics.dialects.generic import GENERIC
from rldk.recording import beginning, recorder, session
from rldk.recording.options import RecordingOptions
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

KILLER = Path(__file__).parents[1] / "kill_loop.py"
pytestmark = pytest.mark.compat


@pytest.fixture(autouse=True)
def _patient(monkeypatch):
    """A machine that runs many tests is no disk that hangs."""
    monkeypatch.setattr(beginning, "BEGIN_SECONDS", 60.0)
    monkeypatch.setattr(recorder, "END_SECONDS", 60.0)


def record(folder, run_id="r", **arguments):
    """A recording without the resources, which only some tests are about."""
    return rldk.record(run_id, output_dir=folder, **({"enable_resource_monitoring": False} | arguments))


def run_of(folder, run_id="r"):
    return RecordedRun(RunFiles(folder, run_id))


def end_of(folder, run_id="r"):
    return run_of(folder, run_id).info.end


def steps(folder, run_id="r", phase="train"):
    return [event.step for event in run_of(folder, run_id) if event.phase == phase]


def test_the_options_of_a_loop_are_those_of_the_callback():
    of_loop = inspect.signature(rldk.record).parameters
    of_callback = inspect.signature(rldk.RLDKCallback).parameters
    assert set(of_callback) == set(RecordingOptions.__struct_fields__)
    for name, option in of_callback.items():
        assert (of_loop[name].default, of_loop[name].annotation) == (option.default, option.annotation)


def collapse(run, count=60):
    """A loop whose entropy collapses while its reward stands still."""
    source = random.Random(0)
    for step in range(1, count + 1):
        reward = source.gauss(0.3, 0.02)
        run.log({"reward": reward, "kl": 0.01, "entropy": 0.9**step, "loss": reward}, step)
        if run.should_stop:
            break


def failing(folder, error, run_id="r"):
    """A loop that an exception ends after a step."""
    with record(folder, run_id) as run:
        run.log({"loss": 1.0})
        raise error


def warnings(caplog):
    return [one.getMessage() for one in caplog.records if one.name == "rldk"]


def test_a_loop_of_ten_lines_is_judged_live_and_by_the_doctor(tmp_path, monkeypatch, caplog, capsys):
    monkeypatch.chdir(tmp_path)
    entropy = 1.0
    with rldk.record("my_loop", algorithm="grpo") as run:
        for step in range(1, 61):
            entropy *= 0.9
            run.log({"reward": 0.3 + 0.01 * math.sin(step), "kl": 0.01, "entropy": entropy}, step=step)
    alerts = [text.split(" (")[0] for text in warnings(caplog)]
    assert alerts == ["rldk: WARNING at step 24", "rldk: CRITICAL at step 43"]
    with pytest.raises(SystemExit):
        main(["doctor", "rldk_logs/my_loop", "--format", "json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["run"]["algorithm"], found["status"]) == ("grpo", "critical")
    assert "entropy-collapse" in [one["rule"] for one in found["findings"]]


def test_the_live_diagnosis_is_that_of_the_doctor(tmp_path):
    with record(tmp_path, algorithm="grpo", ignore="no-learning", config={"lr": 0.1}) as run:
        collapse(run)
    report = json.loads(run.files.final_report.read_text())
    afterwards = judge(run_of(tmp_path))
    assert [one["rule"] for one in report["findings"]] == [one.rule for one in afterwards.findings]
    assert report["status"] == afterwards.status
    assert run_of(tmp_path).settings().ignore == ("no-learning",)


def test_each_key_has_its_name_and_an_evaluation_is_a_record_of_its_own(tmp_path):
    with record(tmp_path) as run:
        run.log({"reward": 1.0, "kl": 0.1, "learning_rate": 1e-4, "mine": 3})
        run.log({"reward": 2.0, "eval_reward": 5.0, "epoch": 1.0})
        run.log({"eval/reward": 6.0, "epoch": 1.0})
        run.log({"loss": 0.5})
    found = [(event.step, event.phase, event.metrics) for event in run_of(tmp_path)]
    assert found == [
        (1, "train", {"reward_mean": 1.0, "kl_mean": 0.1, "lr": 1e-4, "mine": 3}),
        (2, "train", {"reward_mean": 2.0, "epoch": 1.0}),
        (2, "eval", {"eval_reward_mean": 5.0}),
        (2, "eval", {"eval_reward_mean": 6.0, "epoch": 1.0}),
        (3, "train", {"loss": 0.5}),
    ]


@pytest.mark.parametrize("prefix", ["val/", "val_", "valid/", "valid_", "test/", "test_", "eval/", "eval_"])
def test_an_evaluation_under_any_common_prefix_is_no_step(prefix, tmp_path):
    with record(tmp_path) as run:
        run.log({"loss": 1.0})
        run.log({f"{prefix}loss": 2.0, f"{prefix}reward": 3.0, "epoch": 1, "tokens": 5})
        run.log({"loss": 1.0, f"{prefix}loss": 2.0})
    assert [(event.step, event.phase, [*event.metrics]) for event in run_of(tmp_path)] == [
        (1, "train", ["loss"]),
        (1, "eval", ["eval_loss", "eval_reward_mean", "epoch", "tokens"]),
        (2, "train", ["loss"]),
        (2, "eval", ["eval_loss"]),
    ]


def test_what_a_dialect_knows_as_a_train_metric_is_no_evaluation(tmp_path):
    with record(tmp_path, dialect="trl", algorithm="ppo") as run:
        run.log({"val/ratio": 1.0})
    assert [(event.phase, event.metrics) for event in run_of(tmp_path)] == [
        ("train", {"ratio_padded_mean": 1.0})
    ]


def test_the_dialect_goes_before_the_common_names(tmp_path):
    with record(tmp_path, dialect="verl", algorithm="ppo") as run:
        run.log({"critic/score/mean": 1.0, "actor/ppo_kl": 0.1, "entropy": 2.0})
    (event,) = run_of(tmp_path)
    assert event.metrics == {"reward_mean": 1.0, "approx_kl_mean": 0.1, "entropy_mean": 2.0}


def test_no_common_name_is_given_to_two_metrics():
    assert all(GENERIC.canonical(name) == name for name in set(GENERIC.names.values()))


def remedies(folder, **arguments):
    with record(folder, algorithm="grpo", **arguments) as run:
        collapse(run)
    (finding,) = (one for one in judge(run_of(folder)).findings if one.rule == "entropy-collapse")
    return " ".join(finding.remedies)


def test_remedies_name_the_options_of_the_loop_or_none(tmp_path):
    assert "`" not in remedies(tmp_path / "bare")
    own = remedies(tmp_path / "own", config={"learning_rate": 1e-4, "epsilon_high": 0.2})
    assert "`learning_rate` (now 0.0001" in own
    assert "epsilon_high" not in own  # what the option of a stranger means is not known
    assert "actor_rollout_ref" in remedies(tmp_path / "verl", dialect="verl")


class Quiet(rldk.Rule):
    """The reward is low."""

    code, name, severity, needs = "MY001", "quiet", rldk.Severity.WARNING, ("reward_mean",)
    shown_by = ("since",)

    def observe(self, at):
        return rldk.Verdict(severity=rldk.Severity.WARNING, message="low", evidence={})


def test_the_final_report_has_the_samples_of_a_rule_that_was_passed_in(tmp_path):
    with record(tmp_path, rules=[Quiet], select=["quiet"]) as run:
        run.samples(["p", "p"], ["good", "bad"], [1.0, 0.0])
        run.log({"reward": 0.5})
    (finding,) = json.loads(run.files.final_report.read_text())["findings"]
    assert {one["text"] for one in finding["samples"]} == {"good", "bad"}


@pytest.mark.parametrize(
    ("algorithm", "recorded", "is_known"), [("GRPO", "grpo", True), ("grpoo", "grpoo", False)]
)
def test_an_algorithm_that_no_rule_knows_is_a_warning(algorithm, recorded, is_known, tmp_path, caplog):
    with record(tmp_path, algorithm=algorithm) as run:
        run.log({"reward": 1.0})
    assert run_of(tmp_path).algorithm == recorded
    unknown = [text for text in warnings(caplog) if "no rule knows the algorithm 'grpoo'" in text]
    assert len(unknown) == (not is_known)


HEADLINES = {
    "These metrics show no problem.": {"logs": {"loss": 1.0}},
    "Nothing looks wrong, but the run logs no reward to judge by.": {
        "logs": {"loss": 1.0},
        "algorithm": "grpo",
    },
    "Nothing looks wrong, but the run logs no loss to judge by.": {
        "logs": {"reward": 1.0},
        "algorithm": "sft",
    },
    "Nothing looks wrong, but the run logs no reward and no loss to judge by.": {"logs": {"mine": 1.0}},
    "No rule judges the run.": {"logs": {"loss": 1.0}, "select": []},
}


@pytest.mark.parametrize("headline", HEADLINES)
def test_what_a_run_lacks_to_be_judged_is_true_of_its_file(headline, tmp_path):
    given = {"select": ["non-finite"], **HEADLINES[headline]}
    logs = given.pop("logs")
    with record(tmp_path, **given) as run:
        for _ in range(20):
            run.log(logs)
    assert str(judge(run_of(tmp_path))).splitlines()[0].endswith(f": {headline}")


def test_a_goal_that_is_logged_now_and_then_is_counted(tmp_path, capsys):
    with record(tmp_path, select=["non-finite"]) as run:
        for step in range(20):
            run.log({"mine": 1.0} if step % 10 else {"reward": 1.0})
    main(["doctor", str(tmp_path / "r")], standalone_mode=False)
    text = "Nothing looks wrong, but 2 of 20 train records hold a finite reward, and most rules need 20."
    assert text in " ".join(capsys.readouterr().out.split())


@dataclasses.dataclass
class Config:
    lr: float = 0.1
    api_key: str = "sk-a-long-secret-0123456789"


CONFIGS = {
    "mapping": dataclasses.asdict(Config()),
    "dataclass": Config(),
    "namespace": SimpleNamespace(**dataclasses.asdict(Config())),
    "arguments": argparse.Namespace(**dataclasses.asdict(Config())),
    "to_dict": SimpleNamespace(to_dict=lambda: dataclasses.asdict(Config())),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_configuration_of_any_kind_is_kept_without_its_secrets(kind, tmp_path):
    with record(tmp_path, config=CONFIGS[kind], seed=7):
        pass
    attempt = run_of(tmp_path).info.newest
    assert attempt.args["lr"] == 0.1
    assert "a-long-secret" not in (tmp_path / "r_run.json").read_text()


class OnDevice:
    """As an array on an accelerator, whose text waits for it."""

    device = dtype = None

    def __repr__(self):
        raise AssertionError("read")


def test_a_model_in_a_configuration_is_neither_read_nor_kept_alive(tmp_path):
    model, reads = torch.nn.Linear(1, 1), []
    model.extra_repr = lambda: reads.append(1) or ""
    alive = weakref.ref(model)
    config = argparse.Namespace(lr=1.0, model=model, weights=torch.ones(2), states=[OnDevice()])
    config.nested = argparse.Namespace(model=model)
    run = record(tmp_path, config=config)
    del model, config
    gc.collect()
    assert alive() is None
    assert not reads
    run.close()
    assert run_of(tmp_path).info.newest.args == {
        "lr": 1.0,
        "model": "<Linear>",
        "weights": "<Tensor>",
        "states": ["<OnDevice>"],
        "nested": {"model": "<Linear>"},
    }


def test_a_configuration_that_cannot_be_read_costs_nothing_else(tmp_path):
    with record(tmp_path, config=object()) as run:
        run.log({"loss": 1.0})
    assert steps(tmp_path) == [1]


# How a run ends.


def test_an_exception_is_recorded_and_goes_on(tmp_path):
    with pytest.raises(ZeroDivisionError, match="the batch"):
        failing(tmp_path, ZeroDivisionError("the batch is empty"))
    end = end_of(tmp_path)
    assert (end.how, end.detail) == ("exception", "ZeroDivisionError: the batch is empty")
    assert "failing (test_loop.py" in end.where
    assert "ZeroDivisionError" in (tmp_path / "r_crash.txt").read_text()


@pytest.mark.parametrize(
    ("error", "how"),
    [(KeyboardInterrupt(), "interrupted"), (SystemExit(), "stopped"), (SystemExit(3), "exception")],
)
def test_ctrl_c_and_exits_end_it_as_what_they_are(error, how, tmp_path):
    with pytest.raises(type(error)):
        failing(tmp_path, error)
    assert end_of(tmp_path).how == how


def test_a_loop_that_is_left_normally_is_completed_once(tmp_path):
    run = record(tmp_path)
    run.log({"loss": 1.0})
    run.close()
    run.close()
    assert end_of(tmp_path).how == "completed"
    assert run_of(tmp_path).state == "ended"


def test_what_is_logged_after_the_end_is_ignored_with_one_line(tmp_path, caplog):
    with record(tmp_path) as run:
        run.log({"loss": 1.0})
    before = run.files.events.read_bytes()
    run.log({"loss": 2.0})
    run.log({"loss": 3.0})
    run.samples(["p"], ["c"], [1.0])
    run.saved(tmp_path)
    assert run.files.events.read_bytes() == before
    assert warnings(caplog) == ["rldk: r has ended; what is logged now is not recorded"]


def test_a_lost_loop_says_that_it_should_stop(tmp_path, capsys):
    with record(tmp_path, stop_on="critical") as run:
        for _ in range(10):
            run.log({"loss": math.nan, "grad_norm": math.nan})
            if run.should_stop:
                break
    end = end_of(tmp_path)
    assert (run.step, end.how) == (4, "stopped")
    assert end.detail.startswith("by rldk: non-finite")
    assert "run.should_stop is True since step 4" in capsys.readouterr().err


def test_without_stop_on_nothing_should_stop(tmp_path):
    with record(tmp_path) as run:
        for _ in range(10):
            run.log({"loss": math.nan})
    assert not run.should_stop


ENDS = {
    "unknown": "",
    "exception": "raise ValueError('boom')",
    "terminated": "import os, signal; os.kill(os.getpid(), signal.SIGTERM)",
}


@pytest.mark.parametrize("how", ENDS)
def test_a_process_that_ends_without_close_ends_its_run(how, tmp_path, start):
    process = start(f"import rldk\nrun = rldk.record('r')\nrun.log({{'loss': 1.0}})\n{ENDS[how]}\n")
    _, err = process.communicate(timeout=PATIENCE_S)
    assert end_of(tmp_path / "rldk_logs").how == how
    assert ("the recording was not closed: use `with` or `run.close()`" in err) == (how == "unknown")
    assert ("did not end by itself" in err) == (how != "unknown")
    assert steps(tmp_path / "rldk_logs") == [1]


LOGGING = """
import sys, rldk
run = rldk.record("r")
for step in range(1, 10**9):
    run.log({"reward": step / 7, "loss": 1.0}, step)
    sys.stdout.write(f"{step}\\n")
    sys.stdout.flush()
"""


def test_a_kill_loses_no_record_of_a_loop(tmp_path, start):
    process = start(LOGGING)
    for line in process.stdout:
        if line == "200\n":
            break
    os.kill(process.pid, signal.SIGKILL)
    rest, _ = process.communicate(timeout=PATIENCE_S)
    last = int((rest.split() or ["200"])[-1])
    assert steps(tmp_path / "rldk_logs")[:last] == [*range(1, last + 1)]
    assert run_of(tmp_path / "rldk_logs").state == "unfinished"


def test_a_forked_child_records_nothing(tmp_path, capfd):
    with record(tmp_path) as run:
        run.log({"loss": 1.0})
        if (child := os.fork()) == 0:
            try:
                run.log({"loss": 2.0})
                run.close()
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        run.log({"loss": 3.0})
    assert [event.metrics["loss"] for event in run_of(tmp_path)] == [1.0, 3.0]
    assert end_of(tmp_path).how == "completed"
    assert "ended; what is logged" not in capfd.readouterr().err


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda run: pickle.loads(pickle.dumps(run))])
def test_a_copy_of_a_recording_records_nothing(copied, tmp_path, caplog):
    with record(tmp_path, stop_on="critical") as run:
        run.log({"loss": 1.0})
        other = copied({"run": run})["run"] if copied is copy.deepcopy else copied(run)
        other.log({"loss": 2.0})
        other.samples(["p"], ["c"], [1.0])
        other.saved(tmp_path)
        other.close()
        run.log({"loss": 3.0})
    assert [event.metrics["loss"] for event in run_of(tmp_path)] == [1.0, 3.0]
    assert not other.should_stop
    assert not warnings(caplog)


def test_a_loop_that_resumes_goes_on_in_its_run(tmp_path):
    with record(tmp_path) as run:
        for step in range(1, 6):
            run.log({"loss": float(step)}, step)
    with record(tmp_path, from_step=3) as run:
        run.log({"loss": 40.0})
    assert run.files.run_id == "r"
    assert [(event.step, event.metrics["loss"]) for event in run_of(tmp_path)] == [
        *((step, float(step)) for step in (1, 2, 3)),
        (4, 40.0),
    ]


def test_a_resume_that_finds_no_run_says_so_in_a_line(tmp_path, capsys):
    with record(tmp_path, from_step=3) as run:
        run.log({"loss": 40.0})
    first, *_ = capsys.readouterr().err.splitlines()
    assert first == f"rldk: no run in {tmp_path} can be resumed at step 3; r is a new run"
    assert steps(tmp_path) == [4]


def test_a_new_loop_of_the_same_name_is_another_run(tmp_path):
    for _ in range(2):
        with record(tmp_path) as run:
            run.log({"loss": 1.0})
    assert run.files.run_id == "r-2"


def test_a_run_without_a_name_has_that_of_its_script_also_on_a_resume(tmp_path, monkeypatch):
    for script, from_step in (("first", 0), ("second", 0), ("first", 2)):
        monkeypatch.setattr(sys.modules["__main__"], "__file__", f"/somewhere/{script}.py", raising=False)
        with record(tmp_path, None, from_step=np.int64(from_step)) as run:
            for _ in range(3):
                run.log({"loss": 1.0})
    assert run.files.run_id == "first"
    assert (steps(tmp_path, "first"), steps(tmp_path, "second")) == ([1, 2, 3, 4, 5], [1, 2, 3])


# What is logged.


def test_numbers_of_every_kind_are_recorded(tmp_path):
    with record(tmp_path) as run:
        run.log(
            {
                "loss": np.float32(0.5),
                "reward": torch.tensor(2.0, requires_grad=True),
                "kl": torch.tensor([0.25]),
                "count": np.int64(3),
                "grad_norm": math.inf,
                "far": torch.ones(1, device="meta"),
                "text": "hello",
            },
            step=np.int64(7),
        )
    (event,) = run_of(tmp_path)
    assert event.step == 7
    assert event.metrics == {
        "loss": 0.5,
        "reward_mean": 2.0,
        "kl_mean": 0.25,
        "count": 3,
        "grad_norm": None,
    }
    assert set(event.notes) == {
        "nonfinite:grad_norm=inf",
        "not_recorded:far=Tensor on meta; log float(value) instead",
        "text:text=hello",
    }
    assert run.guard.failures == 0


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(logs=LOGS)
def test_no_log_raises_or_is_changed_and_every_number_is_kept(tmp_path_factory, logs):
    folder, before = tmp_path_factory.mktemp("loop"), dict(logs)
    with record(folder, select=[]) as run:
        run.log(logs)
    assert same(logs, before)
    kept = [value for event in run_of(folder) for value in event.metrics.values() if value is not None]
    assert not numbers(logs) - numbers(dict(enumerate(kept)))


@pytest.mark.parametrize("bad", [None, 3, "loss", [1.0], object()])
def test_what_is_no_log_is_refused_in_a_line(bad, tmp_path, caplog):
    with record(tmp_path) as run:
        run.log(bad)
        run.log({"loss": 1.0})
    assert steps(tmp_path) == [1]
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("bad", [-1, math.nan, "three", torch.ones(1, device="meta"), [1]])
def test_a_step_that_is_none_is_counted(bad, tmp_path, caplog):
    with record(tmp_path) as run:
        run.log({"loss": 1.0}, 5)
        run.log({"loss": 2.0}, bad)
    assert steps(tmp_path) == [5, 6]
    assert "reading the step failed" in warnings(caplog)[0]


def test_bad_samples_and_checkpoints_cost_nothing(tmp_path):
    with record(tmp_path) as run:
        run.samples(3, None, "x")
        run.samples(["p"], ["c"], [torch.ones(1, device="meta")])
        run.samples(["p"], ["c"], {"f": [1.0, 2.0]})
        run.saved(None)
        run.log({"loss": 1.0})
    assert steps(tmp_path) == [1]


def test_no_random_state_is_touched(tmp_path):
    states = lambda: (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist())  # noqa: E731, NPY002
    before = states()
    with record(tmp_path, enable_resource_monitoring=True) as run:
        run.samples(["p"] * 4, list("abcd"), [1.0, 2.0, 3.0, 4.0])
        collapse(run, 5)
    assert states() == before


# Samples and checkpoints.


def test_samples_are_kept_with_their_rewards_and_no_times_are_invented(tmp_path):
    with record(tmp_path) as run:
        run.samples(["p", "p"], ["good", "bad"], {"format": [1.0, 0.0], "length": np.array([1.0, 0.5])})
        run.log({"reward": 1.25})
    kept = {
        sample.completion: (sample.step, sample.reward, sample.rewards)
        for sample in run_of(tmp_path).samples()
    }
    assert kept == {
        "good": (1, 2.0, {"format": 1.0, "length": 1.0}),
        "bad": (1, 0.5, {"format": 0.0, "length": 0.5}),
    }
    (event,) = run_of(tmp_path)
    assert event.metrics["reward_functions/format/group_std_mean"] == pytest.approx(0.5**0.5)
    assert not [name for name in event.metrics if name.endswith(("/seconds", "/calls", "time_frac"))]


class Far:
    """A tensor on an accelerator; to read any of it would wait for the device."""

    device = SimpleNamespace(type="cuda")

    def __len__(self):
        return 2

    def _refuse(self, *_):
        raise AssertionError("read")

    __iter__ = __getitem__ = __float__ = __bool__ = tolist = item = _refuse


@pytest.mark.parametrize("far", [Far(), [Far(), Far()]], ids=["a tensor", "a list of tensors"])
def test_samples_on_an_accelerator_are_not_read_and_each_of_them_is_named_once(far, tmp_path, caplog):
    with record(tmp_path, select=[]) as run:
        for _ in range(2):
            run.samples(far, ["good", "bad"], {"near": [1.0, 0.0], "far": far})
            run.samples(["p", "p"], far, [1.0, 0.0])
            run.log({"reward": 0.5})
    assert {sample.completion: sample.rewards for sample in run_of(tmp_path).samples()} == {
        "good": {"near": 1.0, "far": None},
        "bad": {"near": 0.0, "far": None},
    }
    end = "which is on cuda: give it a list (`.tolist()`)"
    assert warnings(caplog) == [
        f"rldk: run.samples does not read `{name}`, {end}" for name in ("prompts", "far", "completions")
    ]
    assert run.guard.failures == 0


def test_a_checkpoint_is_read_after_it_was_saved(tmp_path):
    folder = tmp_path / "out" / "checkpoint-1"
    folder.mkdir(parents=True)
    save_file({"w": torch.full((4, 4), math.nan)}, folder / "model.safetensors")
    with record(tmp_path / "logs", config={"output_dir": str(tmp_path / "out")}) as run:
        run.log({"loss": 1.0})
        run.saved(folder)
    trainings.settle()
    assert "checkpoint-non-finite" in [one.rule for one in judge(run_of(tmp_path / "logs")).findings]


def test_a_checkpoint_that_was_saved_anywhere_is_named_as_the_last_good_one(tmp_path):
    folder = tmp_path / "elsewhere" / "first"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    save_file({"w": torch.ones(4, 4)}, folder / "model.safetensors")
    with record(tmp_path / "logs") as run:
        for _ in range(5):
            run.log({"loss": 1.0, "grad_norm": 1.0})
        run.saved(folder)
        for _ in range(5):
            run.log({"loss": math.nan, "grad_norm": math.nan})
    trainings.settle()
    (finding,) = [one for one in judge(run_of(tmp_path / "logs")).findings if one.rule == "non-finite"]
    assert finding.last_good_checkpoint == str(folder)


# Many at once.


def test_the_step_of_a_checkpoint_is_not_read_from_a_device(tmp_path, monkeypatch):
    class Step:
        device = SimpleNamespace(type="cuda")

        def __int__(self):
            reads.append(1)
            return 1

    reads, saved = [], []
    with record(tmp_path) as run:
        monkeypatch.setattr(run._session, "checkpoint_saved", lambda _, step: saved.append(step))
        run.log({"loss": 1.0}, step=5)
        run.saved(tmp_path, step=Step())
    assert (reads, saved) == ([], [5])


def test_a_run_within_a_run(tmp_path):
    with record(tmp_path, "outer") as outer:
        outer.log({"loss": 1.0})
        with pytest.raises(ValueError, match="boom"):
            failing(tmp_path, ValueError("boom"), "inner")
        outer.log({"loss": 3.0})
    assert (end_of(tmp_path, "inner").how, end_of(tmp_path, "outer").how) == ("exception", "completed")
    assert steps(tmp_path, "outer") == [1, 2]


def test_threads_may_log_at_once(tmp_path):
    def log(thread):
        for number in range(200):
            run.log({"thread": thread, "number": number})

    with record(tmp_path) as run:
        threads = [threading.Thread(target=log, args=(thread,)) for thread in range(8)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    found = [(event.metrics["thread"], event.metrics["number"]) for event in run_of(tmp_path)]
    assert sorted(found) == [(thread, number) for thread in range(8) for number in range(200)]
    assert steps(tmp_path) == [*range(1, 1601)]
    assert run_of(tmp_path).bad_count == 0


def test_the_end_waits_for_the_log_of_another_thread_and_no_log_comes_after_it(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(loop_recording, "LOCK_SECONDS", 60.0)
    run = record(tmp_path)
    writer = run._session.recorder._writer
    write, writing, go_on = writer.write, threading.Event(), threading.Event()

    def slow(line):
        writing.set()
        go_on.wait(60)
        write(line)

    writer.write = slow
    first = threading.Thread(target=run.log, args=({"loss": 1.0},))
    first.start()
    writing.wait(60)
    others = [threading.Thread(target=run.close), threading.Thread(target=run.close)]
    for one in others:
        one.start()
    late = threading.Thread(target=run.log, args=({"loss": 2.0},))
    others[0].join(0.2)
    assert all(one.is_alive() for one in others)
    late.start()
    go_on.set()
    for one in (first, *others, late):
        one.join()
    recorded = [event.metrics["loss"] for event in run_of(tmp_path)]
    assert recorded[0] == 1.0
    assert end_of(tmp_path).records == len(recorded) == 2 - len(warnings(caplog))


def test_a_log_within_a_log_is_recorded_after_it(tmp_path):
    """As by the handler of a signal that interrupted one."""

    class Interrupted(dict):
        def values(self):
            run.log({"loss": 2.0})
            return super().values()

    with record(tmp_path) as run:
        run.log(Interrupted(loss=1.0))
    assert [event.metrics["loss"] for event in run_of(tmp_path)][:2] == [1.0, 2.0]


def test_the_handler_of_a_signal_may_log_and_close_while_a_record_is_written(tmp_path):
    run = record(tmp_path)
    writer = run._session.recorder._writer
    write = writer.write

    def interrupted(line):
        if b'"step":2' in line and writer.write is interrupted:
            writer.write = write
            run.log({"loss": 9.0}, step=777)
            run.close()
        return write(line)

    writer.write = interrupted
    run.log({"loss": 1.0}, step=1)
    run.log({"loss": 2.0}, step=2)
    lines = (tmp_path / "r_events.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 777]
    assert (end_of(tmp_path).how, end_of(tmp_path).records) == ("completed", 3)


def test_ctrl_c_at_any_line_of_a_log_holds_no_other_thread_up(tmp_path):
    functions = (LoopRecording.log.__code__, LoopRecording._leave.__code__)

    def interrupt_at(nth):
        """Log; whether that was interrupted at its nth line."""
        left = nth

        def trace(frame, event, _):
            nonlocal left
            if frame.f_code not in functions:
                return None
            if event == "line":
                left -= 1
                if left == 0:
                    raise KeyboardInterrupt
            return trace

        sys.settrace(trace)
        try:
            run.log({"loss": 1.0})
        except KeyboardInterrupt:
            return True
        finally:
            sys.settrace(None)
        return False

    with record(tmp_path) as run:
        nth = 1
        while interrupt_at(nth):
            run.log({"loss": float(nth)}, step=1_000 + nth)
            assert run._owner == 0
            got = []
            other = threading.Thread(target=lambda: got.append(run._lock.acquire(blocking=False)))  # noqa: B023
            other.start()
            other.join()
            assert got == [True], nth
            run._lock = threading.RLock()
            nth += 1
    assert nth > 8
    assert {1_000 + one for one in range(1, nth)} <= set(steps(tmp_path))


@pytest.mark.parametrize("given", ["argument", "environment"])
def test_only_rank_0_writes_and_every_rank_judges(given, tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1" if given == "environment" else "0")
    rank = 1 if given == "argument" else None
    with record(tmp_path / "logs", world_rank=rank, stop_on="critical") as run:
        for _ in range(5):
            run.log({"loss": math.nan})
    assert run.should_stop
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("name", ["RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK"])
def test_the_rank_is_that_of_any_launcher(name, monkeypatch):
    for one in ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK"):
        monkeypatch.delenv(one, raising=False)
    monkeypatch.setenv(name, "3")
    assert rank_of_process() == 3


def test_without_a_launcher_the_rank_is_that_of_the_process_group(tmp_path, monkeypatch):
    for one in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(one, raising=False)
    group = SimpleNamespace(
        is_available=lambda: True, is_initialized=lambda: True, get_rank=lambda: 1, get_world_size=lambda: 4
    )
    monkeypatch.setitem(sys.modules, "torch.distributed", group)
    with record(tmp_path / "logs") as run:
        run.log({"loss": 1.0})
    assert (rank_of_process(), world_size_of_process()) == (1, 4)
    assert not (tmp_path / "logs").exists()


def test_each_rank_of_a_machine_measures_its_own_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "8")
    for name in ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    asked = []
    monkeypatch.setattr(session, "own_gpus", asked.append)
    with record(tmp_path, enable_resource_monitoring=True) as run:
        run.log({"loss": 1.0})
    assert asked == [8]


ACCELERATED = """
import math, os, rldk
from accelerate import Accelerator

accelerator = Accelerator(cpu=True)
with rldk.record("r", stop_on="critical") as run:
    for step in range(1, 9):
        run.log({"loss": math.nan}, step)
        if run.should_stop:
            break
accelerator.wait_for_everyone()
os.write(1, f"{accelerator.process_index} stopped at {run.step}\\n".encode())  # in one piece, as two write
"""
LAUNCHER = ("-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone")
"""What `accelerate launch` starts."""


def test_the_processes_of_a_launcher_stop_at_the_same_step_and_one_records(tmp_path, start):
    out, err = start(ACCELERATED, launcher=LAUNCHER).communicate(timeout=PATIENCE_S)
    assert sorted(out.splitlines()) == ["0 stopped at 4", "1 stopped at 4"], err[-2000:]
    assert [path.name for path in (tmp_path / "rldk_logs").glob("*_run.json")] == ["r_run.json"]
    assert steps(tmp_path / "rldk_logs") == [1, 2, 3, 4]


# Switches.


def test_switched_off_nothing_is_made(tmp_path, monkeypatch):
    monkeypatch.setenv("RLDK_DISABLED", "1")
    with record(tmp_path / "logs") as run:
        run.log({"loss": 1.0})
    assert run.files is None
    assert not (tmp_path / "logs").exists()


def test_without_the_jsonl_the_other_files_are_made(tmp_path):
    with record(tmp_path, enable_jsonl_logging=False) as run:
        collapse(run, 5)
    assert not run.files.events.exists()
    assert len(run.files.metrics_csv.read_text().splitlines()) == 6


def test_without_the_jsonl_memory_holds_the_newest_records_alone(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(loop_session, "MAX_HISTORY_BYTES", 100_000)
    with record(tmp_path, enable_jsonl_logging=False, select=[]) as run:
        for step in range(1, 1_001):
            run.log({"loss": 1.0}, step)
    rows = run.files.metrics_csv.read_text().splitlines()[1:]
    assert 10 < len(rows) < 100
    assert rows[-1].startswith("1000,")
    (line,) = warnings(caplog)
    assert line == (
        f"rldk: the tables of r hold its newest {len(rows)} records; "
        f"memory had no room for {1_000 - len(rows)} older ones"
    )


@pytest.mark.parametrize(
    "arguments",
    [
        {"dialect": "klingon"},
        {"from_step": -1},
        {"world_rank": "0"},
        {"seed": 0.5},
        {"select": ["no-such-rule"]},
        {"stop_on": "warning"},
        {"samples_per_step": -1},
    ],
)
def test_a_wrong_argument_raises(arguments, tmp_path):
    with pytest.raises(ValueError):
        record(tmp_path / "logs", **arguments)
    assert not (tmp_path / "logs").exists()


def test_a_loop_loads_no_framework():
    code = (
        "import os, sys, tempfile, rldk\n"
        "with rldk.record('r', output_dir=tempfile.mkdtemp()) as run: run.log({'loss': 1.0})\n"
        "print(sorted({'torch', 'rich', 'transformers', 'trl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]"]


def test_a_loop_that_is_not_running_does_not_stall(tmp_path):
    run = record(tmp_path)
    watchdog = run._session._watchers.watchdog
    watchdog._alive -= 10_000
    assert watchdog.look() is None  # `record`, the helper of these tests, has returned
    run.close()


def test_a_loop_that_hangs_stalls(tmp_path):
    with rldk.record("r", output_dir=tmp_path, enable_resource_monitoring=False) as run:
        run.log({"loss": 1.0})
        watchdog = run._session._watchers.watchdog
        watchdog._alive -= 10_000
        assert watchdog.look().step == 1


# Frameworks.


def regression(model, optimizer, run, backward):
    generator = torch.Generator().manual_seed(0)
    for step in range(1, 21):
        x = torch.rand(8, 1, generator=generator)
        loss = ((model(x) - 2 * x) ** 2).mean()
        optimizer.zero_grad()
        backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        run.log({"loss": loss, "grad_norm": norm, "lr": optimizer.param_groups[0]["lr"]}, step)
    run.log({"eval_loss": loss})


def test_a_plain_torch_loop_is_the_same_with_a_recording(tmp_path):
    weights = []
    for run in (record(tmp_path), SimpleNamespace(log=lambda *_: None, close=lambda: None)):
        torch.manual_seed(0)
        model = torch.nn.Linear(1, 1)
        regression(model, torch.optim.SGD(model.parameters(), 0.1), run, torch.Tensor.backward)
        run.close()
        weights.append([one.detach().clone() for one in model.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))
    assert steps(tmp_path) == [*range(1, 21)]
    assert steps(tmp_path, phase="eval") == [20]
    assert judge(run_of(tmp_path)).findings == []


def test_a_loop_of_accelerate_is_recorded(tmp_path):
    accelerator = Accelerator(cpu=True)
    model = torch.nn.Linear(1, 1)
    model, optimizer = accelerator.prepare(model, torch.optim.AdamW(model.parameters(), 0.05))
    with record(tmp_path, world_rank=accelerator.process_index) as run:
        regression(model, optimizer, run, accelerator.backward)
    assert steps(tmp_path) == [*range(1, 21)]
    assert end_of(tmp_path).how == "completed"
    assert {"loss", "grad_norm", "lr"} <= set(next(iter(run_of(tmp_path))).metrics)


@pytest.mark.parametrize("mode", ["no rules", "resources"])
def test_kills_at_random_moments_lose_no_record(mode, tmp_path):
    command = [sys.executable, KILLER, tmp_path / "logs", "6", mode, "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["returned"] > 0
    assert (found["missing"], found["doubled"], found["unreadable"]) == (0, 0, 0)

"""Everything that happens to a training in one process: which run it is, and how it ends."""

import copy
import gc
import json
import logging
import os
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path

import pandas as pd
import pytest
from transformers import TrainerCallback, TrainingArguments

import tiny
from integrations import trainings
from integrations.trainings import After
from integrations.witness import of_phase, read
from rldk.integrations.trl import RLDKCallback, observe_rewards, trainer_session
from rldk.recording.disk import BEGIN_SECONDS
from rldk.recording.resources import ResourceSampler
from rldk.runs import RecordedRun
from rldk.runs.metric_table import WRITERS

pytestmark = [pytest.mark.training, pytest.mark.compat]


class Begun(TrainerCallback):
    """Calls `action` when a training has begun."""

    def __init__(self, action):
        self.action = action

    def on_train_begin(self, args, state, control, **kwargs):
        self.action()


class Step(Begun):
    """Calls `action` at the end of a step, which need not be logged."""

    def __init__(self, step, action):
        super().__init__(action)
        self.step = step

    def on_train_begin(self, args, state, control, **kwargs):
        """Do nothing yet."""

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            self.action()


def warnings(caplog):
    return [r.getMessage() for r in caplog.records if r.name == "rldk" and r.levelno >= logging.WARNING]


def steps(path: Path, phase: str = "train"):
    return [line["step"] for line in of_phase(read(path), phase)]


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")}


def train_rows(table: Path):
    return pd.read_csv(table).query("phase == 'train'").to_dict("records")


def report(run_files):
    return json.loads(run_files.final_report.read_text())


def test_an_evaluation_before_the_training_is_of_the_same_run(tmp_path, caplog):
    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.line(tmp_path, [callback])
    loss = trainer.evaluate()["eval_loss"]
    trainer.train()
    lines = read(callback.files.events)
    assert [(line["step"], line["model_info"]["phase"]) for line in lines] == [
        (0, "eval"),
        *((step, "train") for step in (1, 2, 3, 4)),
        (4, "summary"),
    ]
    assert lines[0]["metrics"]["eval_loss"] == loss
    assert lines[-1]["model_info"]["optimizer"] == "AdamW"
    assert callback.files.run_id == "r"
    assert warnings(caplog) == []


def test_training_twice_is_two_runs(tmp_path, caplog):
    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.line(tmp_path, [callback, trainings.After(1, lambda: time.sleep(0.3))])
    trainer.train()
    first = callback.files
    trainer.train()
    assert [first.run_id, callback.files.run_id] == ["r", "r-2"]
    assert steps(first.events) == steps(callback.files.events) == [1, 2, 3, 4]
    for run in (first, callback.files):
        assert report(run)["end"]["how"] == "completed"
        assert {line["model_info"]["run_id"] for line in read(run.events)} == {run.run_id}
    assert read(callback.files.events)[0]["wall_time"] < read(first.events)[-1]["wall_time"]
    assert len(warnings(caplog)) == 1


def test_a_finished_run_that_is_started_again_is_a_new_run_and_one_warning(tmp_path, caplog):
    trainings.line(tmp_path, [trainings.recorder(tmp_path / "logs")]).train()
    before = (tmp_path / "logs" / "r_events.jsonl").read_bytes()
    assert warnings(caplog) == []
    callback = trainings.recorder(tmp_path / "logs")
    trainings.line(tmp_path, [callback]).train()
    (warning,) = warnings(caplog)
    assert "r-2" in warning
    assert callback.files.run_id == "r-2"
    assert (tmp_path / "logs" / "r_events.jsonl").read_bytes() == before
    assert steps(callback.files.events) == [1, 2, 3, 4]


@pytest.mark.parametrize("run_id", ["r", None])
def test_a_resume_goes_on_in_the_files_of_its_run(run_id, tmp_path, caplog):
    changes = {"save_strategy": "steps", "save_steps": 2}
    trainings.line(tmp_path, [RLDKCallback(tmp_path / "logs", run_id)], **changes).train()
    later = {f"{run_id or 'out'}_checkpoints.jsonl"}  # when an analysis is done
    first = files(tmp_path / "logs") - later
    again = RLDKCallback(tmp_path / "logs", run_id)
    trainer = trainings.line(tmp_path, [again], **(changes | {"max_steps": 6}))
    trainer.train(resume_from_checkpoint=f"{tmp_path}/out/checkpoint-2")
    assert files(tmp_path / "logs") - later == first
    assert steps(again.files.events) == [1, 2, 3, 4, 3, 4, 5, 6]
    assert [event.step for event in RecordedRun(again.files) if event.phase == "train"] == [1, 2, 3, 4, 5, 6]
    resumed = [line for line in read(again.files.events) if "resumed:from_step=2" in line["notes"]]
    assert [line["step"] for line in resumed] == [3]
    times = [line["wall_time"] for line in read(again.files.events)]
    assert times == sorted(times)
    assert warnings(caplog) == []


@pytest.mark.parametrize("run_id", ["r", None])
def test_a_resume_that_ends_earlier_leaves_no_later_step(run_id, tmp_path):
    """The first attempt got to step 8, the second, from 4, stops at 6: there are six steps."""
    changes = {"save_strategy": "steps", "save_steps": 4, "max_steps": 8}
    trainings.line(tmp_path, [RLDKCallback(tmp_path / "logs", run_id)], **changes).train()
    again = RLDKCallback(tmp_path / "logs", run_id)
    trainer = trainings.line(tmp_path, [again], **changes)
    trainer.add_callback(After(6, lambda: setattr(trainer.control, "should_training_stop", True)))
    trainer.train(resume_from_checkpoint=f"{tmp_path}/out/checkpoint-4")
    assert report(again.files)["end"]["how"] == "stopped"
    assert report(again.files)["last_step"] == 6
    run = RecordedRun(again.files)
    for name, write in WRITERS.items():
        with (tmp_path / name).open("wb") as file:
            write(run, file)

    def rows(path):
        return [row for row in json.loads(path.read_text())["steps"] if row["phase"] == "train"]

    found = {
        "jsonl": of_phase(read(tmp_path / "jsonl"), "train"),
        "json": rows(tmp_path / "json"),
        "metrics.json": rows(again.files.metrics_json),
        "csv": train_rows(tmp_path / "csv"),
        "metrics.csv": train_rows(again.files.metrics_csv),
        "parquet": pd.read_parquet(tmp_path / "parquet").query("phase == 'train'").to_dict("records"),
    }
    assert set(WRITERS) <= set(found)
    for name, table in found.items():
        assert [row["step"] for row in table] == [1, 2, 3, 4, 5, 6], name


def test_a_resume_without_a_name_finds_the_run_of_its_own_folder(tmp_path):
    """Two trainings with folders of one name: the second is the newer run, the first is resumed."""
    changes = {"save_strategy": "steps", "save_steps": 2}
    for name in ("one", "two"):
        trainings.line(tmp_path / name, [RLDKCallback(tmp_path / "logs")], **changes).train()
    again = RLDKCallback(tmp_path / "logs")
    trainer = trainings.line(tmp_path / "one", [again], **(changes | {"max_steps": 6}))
    trainer.train(resume_from_checkpoint=True)
    assert steps(tmp_path / "logs" / "out_events.jsonl") == [1, 2, 3, 4, 5, 6]
    assert steps(tmp_path / "logs" / "out-2_events.jsonl") == [1, 2, 3, 4]


def test_a_resume_of_a_checkpoint_that_rldk_never_saw_is_a_new_run(tmp_path):
    changes = {"save_strategy": "steps", "save_steps": 2}
    trainings.line(tmp_path, **changes).train()
    callback = trainings.recorder(tmp_path / "logs")
    trainings.line(tmp_path, [callback], **changes).train(
        resume_from_checkpoint=f"{tmp_path}/out/checkpoint-2"
    )
    assert callback.files.run_id == "r"
    assert steps(callback.files.events) == [3, 4]
    assert "resumed:from_step=2" in read(callback.files.events)[0]["notes"]


def test_an_exception_that_the_user_catches_and_another_training(tmp_path):
    """The first attempt ends when the second begins; neither is lost."""

    def fail():
        raise RuntimeError("caught by the user")

    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.line(tmp_path, [callback])
    failure = After(2, fail)
    trainer.add_callback(failure)
    with pytest.raises(RuntimeError, match="caught by the user"):
        trainer.train()
    first = callback.files
    trainer.remove_callback(failure)
    trainer.train()
    assert [first.run_id, callback.files.run_id] == ["r", "r-2"]
    assert steps(first.events) == [1, 2]
    assert steps(callback.files.events) == [1, 2, 3, 4]
    assert report(first)["end"]["how"] == "unknown"
    assert report(first)["last_step"] == 2
    assert report(callback.files)["end"]["how"] == "completed"


def test_what_was_measured_before_a_caught_exception_is_written(tmp_path):
    callback = trainings.recorder(tmp_path / "logs")
    with pytest.raises(ZeroDivisionError):
        trainings.line(tmp_path, [callback, After(3, lambda: 1 / 0)]).train()
    callback._recording.session._end_unended()  # as the watchdog does when it looks
    lines = [json.loads(line) for line in callback.files.resources().read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "step_time"] == [1, 2, 3]


def test_without_the_jsonl_each_run_has_its_own_tables(tmp_path):
    callback = RLDKCallback(tmp_path / "logs", "r", enable_jsonl_logging=False)
    trainings.line(tmp_path, [callback]).train()
    first, recorder = callback.files, callback._recording.session.recorder
    trainings.line(tmp_path, [callback], max_steps=7).train()
    recorder.outdate()  # as by the analysis of its last checkpoint
    recorder.close()
    assert [row["step"] for row in train_rows(first.metrics_csv)] == [1, 2, 3, 4]
    assert [row["step"] for row in train_rows(callback.files.metrics_csv)] == [1, 2, 3, 4, 5, 6, 7]


def test_a_training_that_is_switched_off_is_not_recorded_in_the_run_before(tmp_path, monkeypatch):
    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.line(tmp_path, [callback])
    trainer.train()
    before = callback.files.events.read_bytes(), callback.files.run.read_bytes()
    monkeypatch.setenv("RLDK_DISABLED", "1")
    trainer.train()
    assert (callback.files.events.read_bytes(), callback.files.run.read_bytes()) == before
    assert {path.name for path in (tmp_path / "logs").glob("*events*")} == {"r_events.jsonl"}


def test_a_training_is_not_recorded_in_the_run_before_whose_end_failed(tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise MemoryError

    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.line(tmp_path, [callback])
    failure = After(2, lambda: 1 / 0)
    trainer.add_callback(failure)
    with pytest.raises(ZeroDivisionError):
        trainer.train()
    trainer.remove_callback(failure)
    first = callback.files
    with monkeypatch.context() as patched:
        patched.setattr(trainer_session, "write_end", fail)
        trainer.add_callback(Begun(patched.undo))
        trainer.train()
    assert steps(first.events) == [1, 2]
    assert steps(callback.files.events) == [1, 2, 3, 4]
    assert sum("ending the run before" in text for text in warnings(caplog)) == 1


def test_of_two_runs_with_a_record_an_epoch_the_newer_is_resumed(tmp_path):
    """It was killed some steps after its last record, as an older run had got beyond."""
    changes = {"max_steps": -1, "num_train_epochs": 2, "logging_strategy": "epoch", "save_steps": 10}
    changes["save_strategy"] = "steps"
    trainings.line(tmp_path, [RLDKCallback(tmp_path / "logs")], **changes).train()
    killed = RLDKCallback(tmp_path / "logs")
    with pytest.raises(ZeroDivisionError):
        trainings.line(tmp_path, [killed, Step(24, lambda: 1 / 0)], **changes).train()
    assert (killed.files.run_id, steps(killed.files.events)) == ("out-2", [16])
    again = RLDKCallback(tmp_path / "logs")
    trainings.line(tmp_path, [again], **changes).train(f"{tmp_path}/out/checkpoint-20")
    assert again.files.run_id == "out-2"
    assert steps(again.files.events) == [16, 32]


@pytest.mark.parametrize("saves", ["no", "epoch"])
def test_a_finished_training_is_let_go_of(saves, model, tmp_path):
    """Where an analysis ends after it, the callback waits for the end of the process, but no judge."""

    class Judge:
        """A reward function that holds a model."""

        def __call__(self, completions, **_):
            return [float(len(set(text))) for text in completions]

    judge = Judge()
    callback = trainings.recorder(tmp_path / "logs")
    rewards = observe_rewards([judge])
    trainer = trainings.grpo(model, tmp_path, [callback], rewards=rewards, max_steps=2, save_strategy=saves)
    trainer.train()
    trainings.settle()
    alive = [weakref.ref(one) for one in (judge, callback, trainer.state)]
    run = callback.files
    del judge, rewards, callback, trainer
    gc.collect()
    kept = [one() for one in alive]
    assert kept[0] is None
    assert saves == "epoch" or kept == [None] * 3
    assert report(run)["end"]["how"] == "completed"


def test_what_is_evaluated_after_the_end_is_in_the_tables_when_the_process_ends(tmp_path):
    code = """
import os
from pathlib import Path
from integrations import trainings
trainer = trainings.line(Path.cwd(), [trainings.recorder(Path("logs"))])
trainer.train()
trainer.evaluate()
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    table = pd.read_csv(tmp_path / "logs" / "r_metrics.csv")
    assert table["phase"].tolist()[-2:] == ["summary", "eval"]


def test_a_class_instead_of_an_instance(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trainings.line(tmp_path, [RLDKCallback]).train()
    assert steps(tmp_path / "rldk_logs" / "out_events.jsonl") == [1, 2, 3, 4]


def test_the_run_name_of_the_trainer(tmp_path):
    callback = RLDKCallback(tmp_path / "logs")
    trainings.line(tmp_path, [callback], run_name="my/run").train()
    assert callback.files.run_id == "my-run"


def test_a_callback_that_is_added_later(tmp_path):
    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.line(tmp_path)
    trainer.add_callback(callback)
    trainer.train()
    assert steps(callback.files.events) == [1, 2, 3, 4]


def test_switched_off_nothing_is_made(tmp_path, monkeypatch, caplog, capfd):
    monkeypatch.setenv("RLDK_DISABLED", "1")
    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.line(tmp_path, [callback])
    trainer.evaluate()
    trainer.train()
    assert trainer.state.global_step == 4
    assert not (tmp_path / "logs").exists()
    assert callback.files is None
    assert warnings(caplog) == []
    assert "rldk" not in capfd.readouterr().err


@pytest.mark.parametrize("place", ["a file", "below a file", "/proc/rldk"])
def test_a_folder_that_cannot_be_is_said_and_the_training_goes_on(place, tmp_path, caplog, capfd):
    (tmp_path / "file").write_text("mine")
    folder = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "logs"}.get(place, Path(place))
    trainer = trainings.line(tmp_path, [trainings.recorder(folder)])
    trainer.train()
    assert trainer.state.global_step == 4
    assert (tmp_path / "file").read_text() == "mine"
    said = [text for text in warnings(caplog) if "what cannot be written waits in memory" in text]
    assert 1 <= len(said) <= 2  # one for each reason
    assert all(str(folder) in text for text in said)
    err = capfd.readouterr().err
    assert "5 of 5 records of r could not be written" in err
    assert "see them with" not in err


def test_data_loader_workers_leave_the_file_whole(tmp_path):
    """Two forked workers each epoch inherit the descriptor, the lock and the exit handlers."""
    callback = trainings.recorder(tmp_path / "logs")
    trainings.line(
        tmp_path, [callback], dataloader_num_workers=2, max_steps=-1, num_train_epochs=2, logging_steps=2
    ).train()
    assert steps(callback.files.events) == list(range(2, 33, 2))
    assert len(steps(callback.files.events, "summary")) == 1
    assert files(tmp_path / "logs") == {path.name for path in callback.files.existing()}
    assert report(callback.files)["end"]["how"] == "completed"


def test_a_forked_child_records_nothing(tmp_path):
    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.line(tmp_path, [callback])

    def fork():
        pid = os.fork()
        if pid == 0:
            try:
                callback.on_log(trainer.args, trainer.state, trainer.control, logs={"loss": -1.0})
            finally:
                os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert RecordedRun(callback.files).state == "running"

    trainer.add_callback(After(2, fork))
    trainer.train()
    assert [line["step"] for line in read(callback.files.events)] == [1, 2, 3, 4, 4]
    assert -1.0 not in [line["metrics"].get("loss") for line in read(callback.files.events)]


def test_a_run_is_running_until_it_ends(tmp_path):
    callback = trainings.recorder(tmp_path / "logs")
    seen = []
    trainer = trainings.line(
        tmp_path, [callback, After(2, lambda: seen.append(RecordedRun(callback.files).state))]
    )
    trainer.train()
    assert [*seen, RecordedRun(callback.files).state] == ["running", "ended"]


@pytest.mark.parametrize("found", ["0.22.2", "0.9"])
def test_an_older_trl_is_refused_with_both_versions(found, tmp_path, monkeypatch):
    package = tmp_path / f"trl-{found}.dist-info"
    package.mkdir()
    (package / "METADATA").write_text(f"Metadata-Version: 2.1\nName: trl\nVersion: {found}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ImportError) as error:
        RLDKCallback(tmp_path / "logs")
    assert found in str(error.value)
    assert "0.23" in str(error.value)
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        {"output_dir": 5},
        {"output_dir": None},
        {"run_id": 5},
        {"run_id": Path("r")},
        {"rotate_mb": "1"},
        {"flush_interval": "1"},
        {"flush_interval": None},
        {"unknown_option": 1},
    ],
)
def test_an_argument_of_a_wrong_type_is_refused_at_once(arguments):
    with pytest.raises(TypeError):
        RLDKCallback(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"rotate_mb": 0},
        {"rotate_mb": -1.0},
        {"rotate_mb": float("nan")},
        {"flush_interval": -1.0},
        {"flush_interval": float("nan")},
        {"samples_per_step": -1},
        {"samples_per_step": 2.5},
    ],
)
def test_an_argument_out_of_range_is_refused_at_once(arguments):
    with pytest.raises(ValueError):
        RLDKCallback(**arguments)


def test_a_constructor_makes_no_file(tmp_path):
    RLDKCallback(tmp_path / "logs", "r", rotate_mb=1, compress=True, flush_interval=1)
    assert not (tmp_path / "logs").exists()


def test_the_package_needs_no_trl(tmp_path):
    """A plain transformers training works where TRL is not installed."""
    script = """
import sys
sys.modules["trl"] = None
import importlib.metadata as metadata
found = metadata.version
def version(name):
    if name == "trl":
        raise metadata.PackageNotFoundError(name)
    return found(name)
metadata.version = version
from rldk.integrations.trl import RLDKCallback
RLDKCallback("logs")
assert not any(name.startswith("trl.") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)


def test_parts_of_a_rotated_run_are_one_run(tmp_path):
    callback = trainings.recorder(tmp_path / "logs", rotate_mb=0.01, compress=True)
    trainings.line(tmp_path, [callback], max_steps=60).train()
    assert len(callback.files.parts()) > 2
    assert [event.step for event in RecordedRun(callback.files) if event.phase == "train"] == list(
        range(1, 61)
    )


def test_the_arguments_of_the_trainer_are_written_without_secrets(tmp_path):
    callback = trainings.recorder(tmp_path / "logs")
    trainer = trainings.line(tmp_path, hub_token="hf_ThisIsASecretToken1234567890abcd")  # not a real one
    trainer.add_callback(callback)
    trainer.train()
    text = callback.files.run.read_text()
    assert "ThisIsASecret" not in text
    (attempt,) = json.loads(text)["attempts"]
    assert attempt["args"]["learning_rate"] == 1e-2
    assert attempt["args_class"] == TrainingArguments.__name__
    assert attempt["trainer_dir"] == str(tmp_path / "out")


def test_after_an_exception_that_was_caught_nothing_measures_on(tmp_path, monkeypatch):
    pace = ResourceSampler.__init__.__kwdefaults__ | {"interval": 0.005}
    monkeypatch.setattr(ResourceSampler.__init__, "__kwdefaults__", pace)

    def fail():
        raise RuntimeError("caught in a notebook")

    before = set(threading.enumerate())
    trainer = trainings.line(tmp_path, [trainings.recorder(tmp_path / "logs"), After(2, fail)])
    with pytest.raises(RuntimeError, match="caught"):
        trainer.train()
    (sampler,) = [one for one in set(threading.enumerate()) - before if one.name == "rldk-resources"]
    sampler.join(10)
    assert not sampler.is_alive()


def test_each_part_can_be_switched_off(model, tmp_path):
    callback = trainings.recorder(
        tmp_path / "logs",
        enable_resource_monitoring=False,
        enable_checkpoint_analysis=False,
        samples_per_step=0,
    )
    rewards = observe_rewards([tiny.letter_reward])
    trainings.grpo(model, tmp_path, [callback], rewards=rewards, save_strategy="steps", save_steps=2).train()
    files = callback.files
    assert not [path for path in (files.resources(), files.checkpoints, files.samples) if path.exists()]
    metrics = json.loads(files.events.read_text().splitlines()[0])["metrics"]
    assert not [name for name in metrics if name.startswith("resource/")]
    assert metrics["reward_functions/letter_reward/calls"] == 1


def test_a_copy_has_the_same_arguments(tmp_path):
    callback = trainings.recorder(tmp_path, samples_per_step=7, enable_checkpoint_analysis=False)
    again = copy.deepcopy(callback)
    assert again is not callback
    assert again.__reduce__()[0].keywords == callback.__reduce__()[0].keywords
    assert again.__reduce__()[0].keywords["samples_per_step"] == 7
    assert again.__reduce__()[0].keywords["enable_checkpoint_analysis"] is False


def failing(folder, run_id, step, **changes):
    """A training that raises, which somebody catches."""

    def fail():
        raise RuntimeError("caught in a notebook")

    callback = RLDKCallback(folder / "logs", run_id)
    trainer = trainings.line(folder, [callback, After(step, fail)], **changes)
    with pytest.raises(RuntimeError, match="caught"):
        trainer.train()
    return callback


def test_a_resume_in_the_same_process_goes_on_in_the_run_that_an_exception_ended(tmp_path):
    changes = {"save_strategy": "steps", "save_steps": 2, "max_steps": 6}
    failed = failing(tmp_path, "r", 3, **changes)
    again = RLDKCallback(tmp_path / "logs", "r")
    trainer = trainings.line(tmp_path, [again], **changes)
    trainer.train(resume_from_checkpoint=f"{tmp_path}/out/checkpoint-2")
    assert again.files.run_id == failed.files.run_id == "r"
    assert [event.step for event in RecordedRun(again.files) if event.phase == "train"] == [1, 2, 3, 4, 5, 6]


def test_a_training_that_was_abandoned_is_ended_by_the_next_one(tmp_path):
    before = set(threading.enumerate())
    failed = failing(tmp_path, "a", 2)
    assert RecordedRun(failed.files).state == "running"
    trainings.line(tmp_path, [RLDKCallback(tmp_path / "logs", "b")]).train()
    assert RecordedRun(failed.files).info.end.how == "unknown"
    watchdogs = [one for one in set(threading.enumerate()) - before if one.name == "rldk-watchdog"]
    assert watchdogs == []


def test_a_training_does_not_wait_long_for_the_end_of_the_one_before(tmp_path, monkeypatch):
    failed, waits = failing(tmp_path, "a", 2), []
    recorder = failed._recording.session.recorder
    note_caught, close = recorder.note_caught, recorder.close
    monkeypatch.setattr(recorder, "note_caught", lambda *wait_s: (waits.append(wait_s), note_caught(*wait_s)))
    monkeypatch.setattr(recorder, "close", lambda *wait_s: (waits.append(wait_s), close(*wait_s)))
    trainings.line(tmp_path, [RLDKCallback(tmp_path / "logs", "b")]).train()
    assert set(waits) == {(BEGIN_SECONDS,)}


def test_a_training_within_another_leaves_it_alone(tmp_path):
    def nested():
        trainings.line(tmp_path / "inner", [RLDKCallback(tmp_path / "logs", "inner")]).train()

    callback = RLDKCallback(tmp_path / "logs", "outer")
    trainings.line(tmp_path, [callback, After(2, nested)]).train()
    assert RecordedRun(callback.files).info.end.how == "completed"
    assert steps(callback.files.events) == [1, 2, 3, 4]

"""Around a training things are not always as they should be; the training does not notice."""

import copy
import io
import json
import logging
import os
import pickle
import sys

import numpy as np
import pytest

from integrations import trainings
from integrations.trainings import After
from integrations.witness import read
from rldk.integrations.trl import RLDKCallback, trainer_info
from rldk.metrics.dialects.trl import TRL, TRL_0
from rldk.recording import writer as writer_module
from rldk.runs import open_run
from rldk.schema.event import decode

pytestmark = [pytest.mark.training, pytest.mark.compat]


class Failing(logging.Handler):
    """A log handler of the user's that raises."""

    def emit(self, record):
        raise RuntimeError("no logging today")


@pytest.fixture
def failing_logger():
    logger = logging.getLogger("rldk")
    handler = Failing()
    logger.addHandler(handler)
    yield
    logger.removeHandler(handler)


def steps(callback):
    return [line["step"] for line in read(callback.files.events) if line["model_info"]["phase"] == "train"]


def test_a_log_handler_that_raises_harms_no_training(tmp_path, failing_logger):
    (tmp_path / "logs").write_text("a file in the folder's place: there is something to warn of")
    trainer = trainings.line(tmp_path, [RLDKCallback(tmp_path / "logs", "r")])
    trainer.train()
    assert trainer.state.global_step == 4


def test_a_closed_terminal_harms_no_training(tmp_path, monkeypatch):
    callback = RLDKCallback(tmp_path / "logs", "r")
    trainer = trainings.line(tmp_path, [callback])
    closed = io.StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", closed)
    trainer.train()
    assert steps(callback) == [1, 2, 3, 4]


def test_numpy_scalars_in_the_arguments_lose_nothing(tmp_path):
    callback = RLDKCallback(tmp_path / "logs", "r")
    arguments = {"learning_rate": np.float64(1e-2), "gradient_accumulation_steps": np.int64(2)}
    trainings.line(tmp_path, [callback], **arguments).train()
    assert steps(callback) == [1, 2, 3, 4]
    event = decode(callback.files.events.read_bytes().splitlines()[0])
    assert (event.rng.seed, event.data_slice.batch_size) == (7, 8)
    assert json.loads(callback.files.run.read_bytes())["attempts"][0]["args"]["learning_rate"] == 1e-2


def test_a_training_that_changes_its_folder_keeps_its_run_together(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    callback = RLDKCallback("logs", "r", rotate_mb=0.002)
    move = After(2, lambda: os.chdir(tmp_path / "elsewhere"))
    trainings.line(tmp_path, [callback, move]).train()
    assert not (tmp_path / "elsewhere" / "logs").exists()
    assert [event.step for event in open_run(tmp_path / "logs") if event.phase == "train"] == [1, 2, 3, 4]
    assert (tmp_path / "logs" / "r_metrics.csv").exists()


def test_a_resume_without_events_has_all_steps_in_its_tables(tmp_path, monkeypatch):
    saved = {"save_strategy": "steps", "save_steps": 2}
    trainings.line(tmp_path, [RLDKCallback(tmp_path / "logs", "r")], max_steps=4, **saved).train()
    monkeypatch.setenv("RLDK_DISABLE_JSONL", "1")
    callback = RLDKCallback(tmp_path / "logs", "r")
    trainer = trainings.line(tmp_path, [callback], max_steps=6, **saved)
    trainer.train(resume_from_checkpoint=True)
    rows = json.loads(callback.files.metrics_json.read_bytes())["steps"]
    assert [row["step"] for row in rows if row["phase"] == "train"] == [1, 2, 3, 4, 5, 6]


def test_a_disk_that_loses_what_it_took_is_in_the_report(tmp_path, monkeypatch):
    def refuse(descriptor):
        raise OSError(122, "Disk quota exceeded")

    monkeypatch.setattr(writer_module, "_sync_data", refuse)
    callback = RLDKCallback(tmp_path / "logs", "r")
    trainings.line(tmp_path, [callback]).train()
    report = json.loads(callback.files.final_report.read_bytes())
    assert report["lost"]["sync_error"] == "Disk quota exceeded"
    assert report["end"]["how"] == "completed"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a disk that is always full is Linux'")
def test_lines_beside_the_events_that_a_full_disk_took_are_counted(tmp_path, caplog):
    callback = RLDKCallback(tmp_path / "logs", "r")

    def fill():
        callback.files.resources().unlink(missing_ok=True)
        callback.files.resources().symlink_to("/dev/full")

    trainings.line(tmp_path, [callback, After(1, fill)]).train()
    assert steps(callback) == [1, 2, 3, 4]
    report = json.loads(callback.files.final_report.read_bytes())
    assert report["lost"]["lines"] >= 3
    assert report["lost"]["records"] == 0
    assert sum("cannot write" in record.getMessage() for record in caplog.records) == 1


def test_where_no_thread_can_start_everything_is_written_all_the_same(tmp_path, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(writer_module.threading.Thread, "start", refuse)
    callback = RLDKCallback(tmp_path / "logs", "r", flush_interval=60.0)
    trainings.line(tmp_path, [callback], dataloader_pin_memory=False).train()
    assert steps(callback) == [1, 2, 3, 4]


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda callback: pickle.loads(pickle.dumps(callback))])
def test_a_copy_is_a_fresh_callback_with_the_same_arguments(tmp_path, copied):
    callback = RLDKCallback(tmp_path / "logs", "r", rotate_mb=5)
    trainings.line(tmp_path, [callback]).train()
    again = copied(callback)
    assert (again.files, again.run_id, again.output_dir) == (None, "r", tmp_path / "logs")
    trainings.line(tmp_path, [again]).train()
    assert again.files.run_id == "r-2"


def test_what_a_folder_is_called_does_not_reach_the_terminal_raw(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    trainings.line(tmp_path, [RLDKCallback("logs\x1b[31m\rhidden", "r")]).train()
    assert "\x1b[31m" not in capfd.readouterr().err


def test_a_constructor_needs_no_descriptor(tmp_path, monkeypatch):
    def refuse(_):
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(trainer_info, "version", refuse)
    assert RLDKCallback(tmp_path / "logs").files is None
    assert trainer_info.dialect() is (TRL if trainings.NEW else TRL_0)

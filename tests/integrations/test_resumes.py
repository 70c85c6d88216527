"""Real trainings that resume among others, that are trials of a search, or that wait in a callback."""

import json
import os
import sys
from pathlib import Path

import pytest
from transformers import TrainerCallback
from transformers.trainer_utils import HPSearchBackend

from integrations import trainings
from rldk.recording.stack_location import frames_of_thread, locate
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

pytestmark = [pytest.mark.training, pytest.mark.compat]


class FailAt(TrainerCallback):
    """Fails at the end of a step."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise RuntimeError("the machine went away")


def train(folder: Path, out: str, *callbacks, resume: str | None = None, **changes):
    """Train in the folder `out`, recorded as `r` in `logs`."""
    options = {"save_strategy": "steps", "save_steps": 4, "output_dir": str(folder / out)} | changes
    callback = trainings.recorder(folder / "logs")
    trainer = trainings.line(folder, [callback, *callbacks], **options)
    trainer.train(resume_from_checkpoint=None if resume is None else str(folder / resume))
    return callback


def steps(files: RunFiles):
    return [event.step for event in RecordedRun(files) if event.phase == "train"]


def two_seeds(folder: Path):
    """One name, two folders: the first training ends, and after the second, which fails at step 8."""
    train(folder, "seed1", max_steps=14)
    trainings.settle()
    with pytest.raises(RuntimeError):
        train(folder, "seed2", FailAt(8), max_steps=14)
    first = RunFiles(folder / "logs", "r")
    for path in first.existing():
        os.utime(path, (4e9, 4e9))
    return first, RunFiles(folder / "logs", "r-2")


@pytest.mark.parametrize("spelled", ["seed2", "../{name}/seed2", "latest"])
def test_a_resume_goes_on_in_the_run_of_its_own_folder_and_leaves_the_other_as_it_was(
    spelled, tmp_path, monkeypatch
):
    first, second = two_seeds(tmp_path)
    before = {path.name: path.read_bytes() for path in first.existing()}
    (tmp_path / "latest").symlink_to("seed2")
    monkeypatch.chdir(tmp_path)
    out = spelled.format(name=tmp_path.name)
    found = train(Path(), out, resume=str(tmp_path / "seed2/checkpoint-4"), max_steps=12)
    assert found.files.run_id == "r-2"
    assert steps(second) == list(range(1, 13))
    assert {path.name: path.read_bytes() for path in first.existing()} == before


def test_a_resume_finds_its_run_though_its_description_was_lost(tmp_path):
    first, second = two_seeds(tmp_path)
    second.run.write_bytes(b"")  # as after a loss of power
    second.checkpoints.unlink(missing_ok=True)
    found = train(tmp_path, "seed2", resume="seed2/checkpoint-4", max_steps=12)
    assert found.files.run_id == "r-2"
    assert steps(second) == list(range(1, 13))
    assert steps(first) == list(range(1, 15))


class Trial(dict):
    """What a search hands to a training."""

    def __init__(self, number):
        super().__init__(learning_rate=0.01)
        self.number, self.params = number, dict(self)


@pytest.mark.parametrize("named", [False, True])
def test_the_checkpoints_of_a_search_are_read_where_the_trials_save_them(named, tmp_path, monkeypatch):
    monkeypatch.setattr("transformers.integrations.hp_params", lambda trial: trial.params)
    trainer = trainings.line(
        tmp_path, [trainings.recorder(tmp_path / "logs")], save_strategy="steps", save_steps=2
    )
    trainer.hp_search_backend, trainer.hp_space = HPSearchBackend.OPTUNA, dict
    trainer.hp_name = (lambda trial: f"lr/{trial.number}") if named else None
    for number in range(2):
        trainer.train(trial=Trial(number))
    trainings.settle()
    for number, run in enumerate(("r", "r-2")):
        lines = RunFiles(tmp_path / "logs", run).checkpoints.read_text().splitlines()
        folder = tmp_path / "out" / (f"lr/{number}" if named else f"run-{number}")
        read = [json.loads(line)["analysis"] for line in lines]
        assert [one["path"] for one in read] == [str(folder / f"checkpoint-{step}") for step in (2, 4)]
        assert [one.get("gone") for one in read] == [None, None]


def test_a_slow_callback_is_known_in_a_real_training(tmp_path):
    seen = {}

    class Bench(TrainerCallback):
        def on_step_end(self, args, state, control, **kwargs):
            self.benchmark("step")

        def on_epoch_end(self, args, state, control, **kwargs):
            self.benchmark("epoch")

        def benchmark(self, hook):
            seen[hook] = locate(frames_of_thread(sys._getframe())).during

    train(tmp_path, "out", Bench(), max_steps=-1, num_train_epochs=1)
    assert seen == dict.fromkeys(("step", "epoch"), "the callback Bench")

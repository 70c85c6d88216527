"""How much data stands behind a record: token counts against what the reward function saw."""

import subprocess
from pathlib import Path
from typing import Any

import pytest
from transformers import TrainerCallback

import tiny
from integrations import trainings
from integrations.witness import of_phase, read
from rldk.integrations.trl import RLDKCallback
from rldk.runs import RecordedRun

pytestmark = [pytest.mark.training, pytest.mark.compat]


class Tokens(TrainerCallback):
    """Counts the tokens of the samples that the reward function got, and cuts them at each train log."""

    def __init__(self) -> None:
        self.windows: list[tuple[int, int]] = []
        self._read = self._generated = 0
        self._encode = tiny.tokenizer()

    def reward(self, prompts, completions, completion_ids, **kwargs):
        self._read += sum(len(self._encode(prompt)["input_ids"]) for prompt in prompts)
        self._generated += sum(map(len, completion_ids))
        return tiny.letter_reward(completions)

    def on_log(self, args, state, control, logs=None, **kwargs):
        if "loss" in logs:
            self.windows.append((self._read, self._generated))
            self._read = self._generated = 0


def recorded(lines: list[dict[str, Any]]) -> list[tuple[int | None, int | None]]:
    slices = [line["data_slice"] for line in of_phase(lines, "train")]
    return [(data["tokens_in"], data["tokens_out"]) for data in slices]


def last_total(lines: list[dict[str, Any]]) -> int:
    totals = [line["metrics"].get("num_tokens") for line in of_phase(lines, "train")]
    return next(total for total in reversed(totals) if total is not None)


def counted(**changes: Any) -> Any:
    """A GRPO training whose completions differ in length."""
    return {"max_completion_length": 24, "temperature": 3.0} | changes


CONFIGURATIONS = {
    "every step": counted(),
    "every third step": counted(logging_steps=3, max_steps=6),
    "gradient accumulation": counted(gradient_accumulation_steps=2),
    "iterations": counted(num_iterations=2, max_steps=5),
    "generation for several steps": counted(steps_per_generation=4, max_steps=6),
    "all together": counted(
        num_iterations=2,
        steps_per_generation=4,
        gradient_accumulation_steps=2,
        logging_steps=3,
        max_steps=9,
    ),
    # Nine micro-batches an epoch, two a step: the fifth step of each has one.
    "short last step": counted(
        max_steps=-1,
        num_train_epochs=2,
        rows=9,
        steps_per_generation=3,
        gradient_accumulation_steps=2,
    ),
    "short last step, every second": counted(
        max_steps=-1,
        num_train_epochs=2,
        rows=9,
        steps_per_generation=3,
        gradient_accumulation_steps=2,
        logging_steps=2,
    ),
}


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_tokens_are_those_that_the_reward_function_saw(configuration, model, tmp_path):
    tokens = Tokens()
    callback = RLDKCallback(tmp_path, "r")
    changes = CONFIGURATIONS[configuration]
    trainings.grpo(model, tmp_path, [tokens, callback], rewards=tokens.reward, **changes).train()
    lines = read(callback.files.events)
    assert recorded(lines) == tokens.windows
    assert sum(read + generated for read, generated in tokens.windows) == last_total(lines) > 0


@pytest.mark.parametrize("resume_from", [2, 3])
def test_tokens_go_on_after_a_resume(resume_from, model, tmp_path):
    """Step 3 of 2 iterations lies within a generation: TRL then generates at once."""
    changes = counted(num_iterations=2, save_strategy="steps", save_steps=resume_from, rows=64)
    first = Tokens()
    callback = RLDKCallback(tmp_path, "r")
    trainings.grpo(model, tmp_path, [first, callback], rewards=first.reward, max_steps=5, **changes).train()
    second = Tokens()
    again = RLDKCallback(tmp_path, "r")
    trainer = trainings.grpo(model, tmp_path, [second, again], rewards=second.reward, max_steps=7, **changes)
    trainer.train(resume_from_checkpoint=f"{tmp_path}/out/checkpoint-{resume_from}")
    assert again.files == callback.files
    events = [event for event in RecordedRun(again.files) if event.phase == "train"]
    assert [event.step for event in events] == [1, 2, 3, 4, 5, 6, 7]
    found = [(event.data_slice.tokens_in, event.data_slice.tokens_out) for event in events]
    assert found == first.windows[:resume_from] + second.windows
    assert sum(read + generated for read, generated in found) == last_total(read(again.files.events))


def test_tokens_of_a_second_training_of_one_trainer(model, tmp_path):
    """The trainer counts on in its buffer of completions, which it has not used up."""
    tokens = Tokens()
    callback = RLDKCallback(tmp_path, "r")
    changes = counted(num_iterations=4, max_steps=6)
    trainer = trainings.grpo(model, tmp_path, [tokens, callback], rewards=tokens.reward, **changes)
    trainer.train()
    trainer.train()
    assert callback.files.run_id == "r-2"
    assert recorded(read(tmp_path / "r_events.jsonl")) == tokens.windows[:6]
    assert recorded(read(tmp_path / "r-2_events.jsonl")) == tokens.windows[6:]


@pytest.mark.parametrize("max_steps", [4, 5])
def test_tokens_of_a_second_sft_training_are_its_own(max_steps, model, tmp_path):
    """Of five steps, logged by two, the last one is in the summary."""
    callback = RLDKCallback(tmp_path, "r")
    trainer = trainings.sft(model, tmp_path, [callback], logging_steps=2, max_steps=max_steps)
    trainer.train()
    trainer.train()
    first, second = (recorded(read(tmp_path / f"{name}_events.jsonl")) for name in ("r", "r-2"))
    assert second == first  # the same seed: the same batches
    (summary,) = of_phase(read(callback.files.events), "summary")
    assert summary["data_slice"]["tokens_in"] is None


def test_tokens_of_another_trainer_begin_anew(model, tmp_path):
    callback = RLDKCallback(tmp_path, "r")
    for name in ("one", "two"):
        trainer = trainings.sft(model, tmp_path / name)
        trainer.add_callback(callback)
        trainer.train()
    first, second = (recorded(read(tmp_path / f"{name}_events.jsonl")) for name in ("r", "r-2"))
    assert second == first


def test_tokens_of_a_resumed_sft_training(model, tmp_path):
    changes = {"save_strategy": "steps", "save_steps": 2}
    trainings.sft(model, tmp_path, [RLDKCallback(tmp_path, "r")], **changes).train()
    again = RLDKCallback(tmp_path, "r")
    trainings.sft(model, tmp_path, [again], **changes).train(
        resume_from_checkpoint=f"{tmp_path}/out/checkpoint-2"
    )
    lines = read(again.files.events)
    assert [line["step"] for line in of_phase(lines, "train")] == [1, 2, 3, 4, 3, 4]
    assert recorded(lines)[4:] == recorded(lines)[2:4]  # the same data again


def test_batch_sizes_and_sequence_length(model, tmp_path):
    callback = RLDKCallback(tmp_path, "r")
    trainings.dpo(
        model,
        tmp_path,
        [callback],
        gradient_accumulation_steps=3,
        per_device_eval_batch_size=2,
        eval_strategy="steps",
        eval_steps=4,
        max_length=77,
    ).train()
    lines = read(callback.files.events)
    assert {line["data_slice"]["batch_size"] for line in of_phase(lines, "train")} == {12}
    assert {line["data_slice"]["batch_size"] for line in of_phase(lines, "eval")} == {2}
    assert {line["data_slice"]["sequence_length"] for line in lines} == {77}


def test_sequence_length_without_a_limit_is_the_models(model, tmp_path):
    callback = RLDKCallback(tmp_path, "r")
    trainings.sft(model, tmp_path, [callback], max_length=None).train()
    assert {line["data_slice"]["sequence_length"] for line in read(callback.files.events)} == {256}


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def repository(folder: Path) -> Path:
    folder.mkdir()
    git(folder, "init", "-q", "-b", "trunk")
    git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    return folder


def packed(folder: Path) -> Path:
    git(repository(folder), "pack-refs", "--all")
    return folder


def detached(folder: Path) -> Path:
    git(repository(folder), "checkout", "-q", "--detach")
    git(folder, "commit", "-q", "--allow-empty", "-m", "two")
    return folder


def worktree(folder: Path) -> Path:
    other = folder.with_name("other")
    git(repository(folder), "worktree", "add", "-q", "-b", "side", str(other))
    git(other, "commit", "-q", "--allow-empty", "-m", "two")
    return other


def below(folder: Path) -> Path:
    inner = repository(folder) / "a" / "b"
    inner.mkdir(parents=True)
    return inner


@pytest.mark.parametrize("make", [repository, packed, detached, worktree, below])
def test_git_sha_is_what_git_says(make, tmp_path, monkeypatch):
    monkeypatch.chdir(make(tmp_path / "repository"))
    callback = RLDKCallback(tmp_path / "logs", "r")
    trainings.line(tmp_path, [callback]).train()
    found = {line["model_info"]["git_sha"] for line in read(callback.files.events)}
    assert found == {git(Path.cwd(), "rev-parse", "HEAD")}


def test_git_sha_is_null_outside_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    callback = RLDKCallback(tmp_path / "logs", "r")
    trainings.line(tmp_path, [callback]).train()
    assert {line["model_info"]["git_sha"] for line in read(callback.files.events)} == {None}


@pytest.mark.parametrize(("variable", "seed"), [("42", 42), ("random", None), (None, None)])
def test_python_hash_seed_is_that_of_the_environment(variable, seed, tmp_path, monkeypatch):
    if variable is None:
        monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    else:
        monkeypatch.setenv("PYTHONHASHSEED", variable)
    callback = RLDKCallback(tmp_path, "r")
    trainings.line(tmp_path, [callback], seed=11).train()
    assert read(callback.files.events)[0]["rng"] == {
        "seed": 11,
        "python_hash_seed": seed,
        "torch_seed": 11,
        "numpy_seed": 11,
        "random_seed": 11,
    }

"""Builds the trainer of a row, with the measurement of held-out accuracy in it.

Invariant: a row gives the same training again; the measurement changes nothing of it.
"""
# ruff: noqa: ARG002, D102 - hooks of transformers

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import faults
import torch
import trl
from datasets import Dataset
from recipes import COMMON
from tasks import TASKS, Task
from tasks.policy import accuracy, policy, tokenizer
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    PrinterCallback,
    TrainerCallback,
)
from trl.experimental.online_dpo import OnlineDPOConfig, OnlineDPOTrainer
from trl.experimental.orpo import ORPOConfig, ORPOTrainer

from wide.rewards import reward
from wide.row import Row

ONLINE: dict[str, Any] = {
    "learning_rate": 3e-4,
    "max_steps": 150,
    "per_device_train_batch_size": 32,
    "num_generations": 8,
    "beta": 0.02,
}
OFFLINE: dict[str, Any] = {
    "learning_rate": 3e-4,
    "max_steps": 150,
    "per_device_train_batch_size": 16,
    "per_device_eval_batch_size": 64,
    "eval_strategy": "steps",
    "eval_steps": 25,
    "max_length": 64,
}
HEALTHY: dict[str, dict[str, Any]] = {
    "grpo": ONLINE,
    "rloo": ONLINE,
    "online_dpo": {
        "learning_rate": 2e-4,
        "max_steps": 120,
        "per_device_train_batch_size": 16,
        "beta": 0.1,
        "missing_eos_penalty": None,
    },
    "dpo": OFFLINE | {"learning_rate": 5e-5, "beta": 0.3},
    "kto": OFFLINE | {"learning_rate": 6e-5, "beta": 0.2},
    "orpo": OFFLINE | {"learning_rate": 4e-4, "beta": 0.1},
    "sft": OFFLINE | {"learning_rate": 5e-4},
    "reward": OFFLINE | {"learning_rate": 1e-3},
}
CLASSES: dict[str, tuple[Any, Any]] = {
    "grpo": (trl.GRPOConfig, trl.GRPOTrainer),
    "rloo": (trl.RLOOConfig, trl.RLOOTrainer),
    "dpo": (trl.DPOConfig, trl.DPOTrainer),
    "kto": (trl.KTOConfig, trl.KTOTrainer),
    "sft": (trl.SFTConfig, trl.SFTTrainer),
    "reward": (trl.RewardConfig, trl.RewardTrainer),
    "orpo": (ORPOConfig, ORPOTrainer),
    "online_dpo": (OnlineDPOConfig, OnlineDPOTrainer),
}
GENERATES = ("grpo", "rloo", "online_dpo")
MEASURED = 8
"""Times that a training is measured after its beginning."""
STATE, TRUTH = "trainer_state.json", "truth.json"
SAVED_EVERY = 20
"""Steps after which `trainer_state.json` is written, as with a checkpoint."""
ROWS = 1200
WRONG = 0.05
"""The share of labels that are wrong, as in data that people labelled."""


def settings(row: Row) -> dict[str, Any]:
    """Every argument of the configuration that this set gives."""
    made = COMMON | HEALTHY[row.trainer]
    made["learning_rate"] *= row.rate
    if row.trainer in ("grpo", "rloo"):
        made["max_completion_length"] = TASKS[row.task].limit
    if row.trainer == "online_dpo":
        made["max_new_tokens"] = TASKS[row.task].limit
    return made | row.config


def build(
    row: Row, folder: Path, seed: int, callbacks: list[TrainerCallback], *, resumes: bool = False
) -> Any:
    """The trainer, ready to train; `resumes`: as the second start of a training that was killed."""
    task, config = TASKS[row.task], settings(row)
    steps = config["max_steps"]
    breaks = [name.format(half=steps // 2) for name in row.breaks]
    if resumes:
        config |= row.resume or {}
        breaks = [name for name in breaks if not name.startswith("killed")]
    path, tokens = policy(task, row.skill), tokenizer(task, row.eos)
    arguments: dict[str, Any] = {
        "model": path,
        "args": CLASSES[row.trainer][0](output_dir=str(folder), seed=seed, **config),
        "processing_class": tokens,
    }
    if row.trainer == "reward":
        arguments["model"] = AutoModelForSequenceClassification.from_pretrained(path, num_labels=1)
    elif row.trainer in ("orpo", "online_dpo"):
        arguments["model"] = AutoModelForCausalLM.from_pretrained(path)
    if row.lora:
        arguments["peft_config"] = faults.lora()
    if row.trainer in GENERATES:
        arguments["reward_funcs"] = [reward(task, name, steps) for name in row.rewards]
    data = {"rows": ROWS} | row.data
    arguments["train_dataset"] = DATA[row.trainer](task, seed, **data)
    if "eval_strategy" in config or row.trainer not in GENERATES:
        plain = {"rows": 128 if row.trainer not in GENERATES else 32}
        arguments["eval_dataset"] = DATA[row.trainer](task, 999, **plain)
    measure = Measured(task, row.trainer, folder.parent, max(1, steps // MEASURED))
    arguments["callbacks"] = [*callbacks, measure, *map(faults.sabotage, breaks)]
    trainer = CLASSES[row.trainer][1](**arguments)
    trainer.remove_callback(PrinterCallback)
    if row.eos != "<eos>":
        trainer.model.config.eos_token_id = trainer.model.generation_config.eos_token_id = tokens.eos_token_id
    faults.after_construction(trainer, row.breaks)
    return trainer


class Measured(TrainerCallback):
    """Writes how often held-out prompts are answered (pairs: ranked) rightly, and the trainer's state."""

    def __init__(self, task: Task, trainer: str, folder: Path, every: int) -> None:
        self.task, self.trainer, self.folder, self.every = task, trainer, folder, every
        path = folder / TRUTH
        self.found: list[tuple[int, float]] = json.loads(path.read_text()) if path.exists() else []

    def on_train_begin(
        self, args: Any, state: Any, control: Any, model: Any = None, processing_class: Any = None, **_: Any
    ) -> None:
        self._measure(state.global_step, model, processing_class)

    def on_step_end(
        self, args: Any, state: Any, control: Any, model: Any = None, processing_class: Any = None, **_: Any
    ) -> None:
        if state.global_step % self.every == 0:
            self._measure(state.global_step, model, processing_class)
        if state.global_step % SAVED_EVERY == 0:
            state.save_to_json(str(self.folder / STATE))

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        state.save_to_json(str(self.folder / STATE))

    def _measure(self, step: int, model: Any, tokens: Any) -> None:
        measure = ranked if self.trainer == "reward" else accuracy
        try:
            found = measure(model, tokens, self.task)
        except RuntimeError:  # NaN in the weights: nothing can be sampled
            found = 0.0
        self.found.append((step, round(found, 4)))
        (self.folder / TRUTH).write_text(json.dumps(self.found))


def ranked(model: Any, tokens: Any, task: Task, count: int = 256) -> float:
    """How often a reward model puts the right answer above one that is nearly right."""
    chance = random.Random(0)
    prompts = task.held_out(count)
    scores = []
    training = model.training
    model.eval()
    for answers in ([task.answer(one) for one in prompts], [task.wrong(chance, one) for one in prompts]):
        texts = [f"{prompt} {answer} <eos>" for prompt, answer in zip(prompts, answers, strict=True)]
        with torch.no_grad():
            batch = tokens(texts, padding=True, padding_side="right", return_tensors="pt")
            scores.append(model(**batch).logits[:, 0])
    model.train(training)
    return (scores[0] > scores[1]).float().mean().item()


def prompts(
    task: Task,
    seed: int,
    rows: int,
    levels: tuple[str, ...] = (),
) -> Dataset:
    """Prompts to answer; with `levels` as many of each, in that order, if nothing shuffles them."""
    chance = random.Random(seed)
    return Dataset.from_list(
        [
            {"prompt": task.training(chance, levels[at * len(levels) // rows] if levels else None)}
            for at in range(rows)
        ]
    )


def pairs(
    task: Task,
    seed: int,
    rows: int,
    wrong: float = WRONG,
    swapped: bool = False,
    identical: bool = False,
    trivial: bool = False,
) -> Dataset:
    """The right answer and one that is nearly right.

    Args:
        task: what is asked.
        seed: of the prompts.
        rows: how many.
        wrong: the share of pairs that are labelled the wrong way round.
        swapped: all the others are.
        identical: both answers are the right one.
        trivial: what is rejected is one word again and again.
    """
    chance = random.Random(seed)
    made = []
    for _ in range(rows):
        prompt = task.training(chance)
        better, worse = task.answer(prompt), task.wrong(chance, prompt)
        if identical:
            worse = better
        if trivial:
            worse = " ".join([task.words[0]] * len(better.split()))
        if (chance.random() < wrong) != swapped:
            better, worse = worse, better
        made.append({"prompt": f"{prompt} ", "chosen": better, "rejected": worse})
    return Dataset.from_list(made)


def labelled(task: Task, seed: int, rows: int, only: bool | None = None, **changes: Any) -> Dataset:
    """For KTO: each answer of the pairs with its label; `only` those of one label."""
    made = [
        {"prompt": pair["prompt"], "completion": pair[side], "label": side == "chosen"}
        for pair in pairs(task, seed, rows // 2, **changes)
        for side in ("chosen", "rejected")
    ]
    return Dataset.from_list([one for one in made if only is None or one["label"] is only])


def texts(task: Task, seed: int, rows: int, wrong: float = WRONG, foreign: bool = False) -> Dataset:
    """Answers to learn from; with `foreign` those of the second half of the rows are words at random."""
    chance = random.Random(seed)
    made = []
    for at in range(rows):
        prompt = task.training(chance)
        answer = task.answer(prompt) if chance.random() >= wrong else task.wrong(chance, prompt)
        if foreign and at >= rows // 2:
            answer = " ".join(chance.choices(task.words, k=len(answer.split())))
        made.append({"prompt": f"{prompt} ", "completion": answer})
    return Dataset.from_list(made)


DATA: dict[str, Callable[..., Dataset]] = {
    "grpo": prompts,
    "rloo": prompts,
    "online_dpo": prompts,
    "dpo": pairs,
    "orpo": pairs,
    "reward": pairs,
    "kto": labelled,
    "sft": texts,
}

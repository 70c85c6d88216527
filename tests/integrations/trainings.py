"""Real trainings of a few steps, built in one line each; importable in subprocesses too."""

import atexit
import os
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import trl
from packaging.version import Version
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

import tiny
from rldk.integrations.trl import RLDKCallback

NEW = Version(version("trl")) >= Version("1")
"""TRL 1; else the oldest that rldk supports, 0.23."""


class After(TrainerCallback):
    """Calls `action` after the train log of a step."""

    def __init__(self, step: int, action: Callable[[], Any]) -> None:
        self.step, self.action = step, action

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if state.global_step == self.step and "loss" in logs:
            self.action()


def settle() -> None:
    """Wait for the analyses of checkpoints, which go on behind a training."""
    give_up = time.monotonic() + 60
    while any(thread.name == "rldk-checkpoints" for thread in threading.enumerate()):
        assert time.monotonic() < give_up
        time.sleep(0.01)


def leave_whole() -> None:
    """End this process after its exit handlers, without tearing the interpreter down.

    Gloo's threads abort a Python that is on its way out now and then (pytorch#190489): 2 of 22 trainings of
    two ranks without rldk ended so.
    """

    def leave() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(int(hasattr(sys, "last_value")))

    atexit.register(leave)


def recorder(folder: Path, **arguments: Any) -> RLDKCallback:
    """A callback that records as `r` in `folder`."""
    return RLDKCallback(folder, "r", **arguments)


def options(folder: Path, **changes: Any) -> dict[str, Any]:
    """Arguments of every training here."""
    common = {
        "output_dir": str(folder / "out"),
        "use_cpu": True,
        "bf16": False,
        "report_to": [],
        "disable_tqdm": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "max_steps": 4,
        "per_device_train_batch_size": 4,
        "per_device_eval_batch_size": 4,
        "learning_rate": 1e-2,
        "seed": 7,
    }
    return common | changes


def line(folder: Path, callbacks: list[Any] | None = None, **changes: Any) -> Trainer:
    """A plain `Trainer`, the fastest training there is."""
    return Trainer(
        model=tiny.Line(),
        args=TrainingArguments(**options(folder, **changes)),
        train_dataset=tiny.points(),
        eval_dataset=tiny.points(8),
        callbacks=callbacks,
    )


def grpo(
    model: str,
    folder: Path,
    callbacks: list[Any] | None = None,
    *,
    rewards: Any = tiny.letter_reward,
    rows: int = 64,
    evaluate_on: Any = None,
    **changes: Any,
) -> Trainer:
    """GRPO, four completions a prompt."""
    defaults = {"num_generations": 4, "max_completion_length": 6}
    return trl.GRPOTrainer(
        model=model,
        args=trl.GRPOConfig(**options(folder, **(defaults | changes))),
        reward_funcs=rewards,
        train_dataset=tiny.prompts(rows),
        eval_dataset=evaluate_on,
        processing_class=tiny.tokenizer(),
        callbacks=callbacks,
    )


def rloo(
    model: str,
    folder: Path,
    callbacks: list[Any] | None = None,
    *,
    rewards: Any = tiny.length_reward,
    **changes: Any,
) -> Trainer:
    """RLOO with its default KL penalty."""
    defaults = {"num_generations": 4, "max_completion_length": 6}
    return trl.RLOOTrainer(
        model=model,
        args=trl.RLOOConfig(**options(folder, **(defaults | changes))),
        reward_funcs=rewards,
        train_dataset=tiny.prompts(),
        processing_class=tiny.tokenizer(),
        callbacks=callbacks,
    )


def dpo(model: str, folder: Path, callbacks: list[Any] | None = None, **changes: Any) -> Trainer:
    """DPO with an evaluation."""
    return trl.DPOTrainer(
        model=model,
        args=trl.DPOConfig(**options(folder, **changes)),
        train_dataset=tiny.pairs(),
        eval_dataset=tiny.pairs(8),
        processing_class=tiny.tokenizer(),
        callbacks=callbacks,
    )


def kto(model: str, folder: Path, callbacks: list[Any] | None = None, **changes: Any) -> Trainer:
    """KTO."""
    return trl.KTOTrainer(
        model=model,
        args=trl.KTOConfig(**options(folder, **changes)),
        train_dataset=tiny.labelled(),
        processing_class=tiny.tokenizer(),
        callbacks=callbacks,
    )


def sft(model: str, folder: Path, callbacks: list[Any] | None = None, **changes: Any) -> Trainer:
    """SFT."""
    return trl.SFTTrainer(
        model=model,
        args=trl.SFTConfig(**options(folder, **changes)),
        train_dataset=tiny.texts(),
        eval_dataset=tiny.texts(8),
        processing_class=tiny.tokenizer(),
        callbacks=callbacks,
    )


def reward(model: str, folder: Path, callbacks: list[Any] | None = None, **changes: Any) -> Trainer:
    """A reward model with an evaluation."""
    return trl.RewardTrainer(
        model=AutoModelForSequenceClassification.from_pretrained(model, num_labels=1),
        args=trl.RewardConfig(**options(folder, **changes)),
        train_dataset=tiny.pairs(),
        eval_dataset=tiny.pairs(8),
        processing_class=tiny.tokenizer(),
        callbacks=callbacks,
    )


def ppo(model: str, folder: Path, callbacks: list[Any] | None = None, **changes: Any) -> Trainer:
    """PPO of TRL 0.23, which counts in episodes: four updates of eight."""
    args = options(folder, **changes)
    del args["max_steps"]
    return trl.PPOTrainer(
        args=trl.PPOConfig(
            **args,
            total_episodes=32,
            num_ppo_epochs=2,
            num_mini_batches=1,
            gradient_accumulation_steps=2,
            response_length=6,
            num_sample_generations=0,
        ),
        processing_class=tiny.tokenizer(),
        model=AutoModelForCausalLM.from_pretrained(model),
        ref_model=None,
        reward_model=AutoModelForSequenceClassification.from_pretrained(model, num_labels=1),
        value_model=AutoModelForSequenceClassification.from_pretrained(model, num_labels=1),
        train_dataset=tiny.tokenized(),
        eval_dataset=tiny.tokenized(8),
        callbacks=callbacks,
    )

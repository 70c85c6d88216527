"""What a training of the set is made of, as data (`Recipe`), and the trainer that follows from it.

Invariant: a fault is a difference between two recipes; a recipe and a seed give the same training again.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import faults
import toys
import trl
from transformers import PrinterCallback, TrainerCallback

Trainer = Literal["grpo", "rloo", "dpo", "sft"]


@dataclass(frozen=True)
class Recipe:
    """One training, but for its seed."""

    trainer: Trainer
    config: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the configuration of the trainer's healthy recipe."""
    rewards: tuple[str, ...] = ("colours",)
    """Names of functions in `toys`, or in `faults` where a name has an argument: `switched@100`."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of `toys.pairs` for the train split."""
    sabotage: tuple[str, ...] = ()
    """Names in `faults.SABOTAGE`, with their arguments: `nan_weights@60`."""
    eos: str = "<eos>"
    """What tokenizer and model are told ends a sentence; the base model writes `<eos>`."""
    lora: bool = False
    resume: Mapping[str, Any] | None = None
    """Of a training that is killed (`faults.Killed`): changes to the configuration for its second start."""

    @property
    def settings(self) -> dict[str, Any]:
        """Every argument of the configuration that this set gives."""
        return COMMON | HEALTHY[self.trainer] | self.config

    @property
    def half(self) -> int:
        """The step at which a fault in mid-run sets in."""
        return self.settings["max_steps"] // 2

    def seldom(self) -> "Recipe":
        """The same with `logging_steps=10`, and long enough for 30 records."""
        steps = max(300, self.settings["max_steps"])
        return replace(self, config={**self.config, "logging_steps": 10, "max_steps": steps, **self._evals()})

    def _evals(self) -> dict[str, Any]:
        return {"eval_steps": 50} if self.trainer in ("dpo", "sft") else {}


COMMON: dict[str, Any] = {
    "use_cpu": True,
    "bf16": False,
    "report_to": [],
    "disable_tqdm": True,
    "logging_steps": 1,
    "save_strategy": "no",
    "warmup_steps": 5,
    "gradient_checkpointing": False,  # the toy's memory is small; a frozen half of an adapter fails with it
}
ONLINE: dict[str, Any] = {
    "learning_rate": 5e-4,
    "max_steps": 120,
    "per_device_train_batch_size": 32,
    "num_generations": 8,
    "max_completion_length": 40,
    "beta": 0.1,
}
HEALTHY: dict[str, dict[str, Any]] = {
    "grpo": ONLINE,
    "rloo": ONLINE | {"beta": 0.05},
    "dpo": {
        "learning_rate": 5e-4,
        "max_steps": 150,
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 64,
        "beta": 0.1,
        "eval_strategy": "steps",
        "eval_steps": 25,
        "max_length": 64,
    },
    "sft": {
        "learning_rate": 1e-3,
        "max_steps": 150,
        "per_device_train_batch_size": 16,
        "per_device_eval_batch_size": 64,
        "eval_strategy": "steps",
        "eval_steps": 25,
        "max_length": 64,
    },
}
CONFIGS: dict[str, Any] = {
    "grpo": trl.GRPOConfig,
    "rloo": trl.RLOOConfig,
    "dpo": trl.DPOConfig,
    "sft": trl.SFTConfig,
}
ROWS = 2400
"""Of the train split: an epoch of 150 steps."""


def reward(name: str, half: int) -> Callable[..., list[Any]]:
    """The reward function that a recipe names."""
    if "@" not in name:
        return getattr(toys, name)  # type: ignore[no-any-return]
    kind, _, argument = name.format(half=half).partition("@")
    return faults.REWARDS[kind](int(argument))


def build(
    recipe: Recipe, folder: Path, seed: int, callbacks: list[TrainerCallback], *, resumes: bool = False
) -> Any:
    """The trainer, ready to train; `resumes`: as the second start of a training that was killed."""
    os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
    config = recipe.settings
    sabotage = [name.format(half=recipe.half) for name in recipe.sabotage]
    if resumes:
        config |= recipe.resume or {}
        sabotage = [name for name in sabotage if not name.startswith("killed")]
    arguments: dict[str, Any] = {
        "model": toys.base_model(recipe.eos),
        "args": CONFIGS[recipe.trainer](output_dir=str(folder), seed=seed, **config),
        "processing_class": toys.tokenizer(recipe.eos),
        "callbacks": [*callbacks, *map(faults.sabotage, sabotage)],
    }
    if recipe.lora:
        arguments["peft_config"] = faults.lora()
    if recipe.trainer in ("grpo", "rloo"):
        rewards = [reward(name, recipe.half) for name in recipe.rewards]
        kind = trl.GRPOTrainer if recipe.trainer == "grpo" else trl.RLOOTrainer
        trainer = kind(**arguments, reward_funcs=rewards, train_dataset=toys.prompts())
    else:
        make, kind = (toys.pairs, trl.DPOTrainer) if recipe.trainer == "dpo" else (toys.texts, trl.SFTTrainer)
        data = {"rows": ROWS} | recipe.data
        trainer = kind(**arguments, train_dataset=make(seed, **data), eval_dataset=make(999, 128))
    trainer.remove_callback(PrinterCallback)
    faults.after_construction(trainer, recipe.sabotage)
    return trainer

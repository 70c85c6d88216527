"""Checkpoints of real trainings, saved by the trainers themselves: a few seconds for all of them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import trl
from peft import LoraConfig
from transformers import Qwen2ForCausalLM, TrainerCallback

import tiny
from integrations import trainings

GROUP = {"num_generations": 4, "max_completion_length": 6}


class Save(NamedTuple):
    """A checkpoint, and what a run would know of it."""

    path: Path
    previous: Path | None
    """The one before, as the trainer left it."""
    options: dict[str, Any]
    """The trainer's arguments, as the run's own file tells them."""
    base: Path | None = None


class Sharded(TrainerCallback):
    """Saves the weights of each checkpoint again, in shards."""

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        (folder / "model.safetensors").unlink()
        model.save_pretrained(folder, max_shard_size="60KB")


def model(folder: Path, **changes: Any) -> str:
    """Six layers of width 32, so that layers can be compared with each other."""
    tokens = tiny.tokenizer()
    config = tiny.config(tokens)
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 6, "layer_types": None}
    config = type(config)(**(config.to_dict() | small | changes))
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).save_pretrained(folder)
    tokens.save_pretrained(folder)
    return str(folder)


def lora() -> LoraConfig:
    """Rank 4 on two modules of each layer."""
    return LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")


class Trained:
    """Runs, trained when they are first asked for.

    Args:
        folder: where everything is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = model(folder / "model")
        self._runs: dict[str, dict[int, Save]] = {}

    def __getitem__(self, name: str) -> dict[int, Save]:
        """The checkpoints of a run, by step."""
        if name not in self._runs:
            self._runs[name] = self._train(name)
        return self._runs[name]

    def _train(self, name: str) -> dict[int, Save]:
        folder = self.folder / name
        saving = {"save_strategy": "steps", "save_steps": 6, "max_steps": 18, "learning_rate": 1e-3}
        trainer, resume = RUNS[name](self, folder, saving)
        trainer.train(resume_from_checkpoint=resume)
        out = Path(trainer.args.output_dir)
        steps = sorted(int(path.name.removeprefix("checkpoint-")) for path in out.glob("checkpoint-*"))
        paths = {step: out / f"checkpoint-{step}" for step in steps}
        before = dict(zip(steps[1:], steps, strict=False))
        options = trainer.args.to_dict()
        return {
            step: Save(path, paths.get(before.get(step, -1)), options, Path(self.model))
            for step, path in paths.items()
        }

    def copy(self, save: Save, folder: Path) -> Save:
        """A copy of a checkpoint and of the one before, to be spoiled."""
        path = folder / save.path.name
        shutil.copytree(save.path, path)
        previous = save.previous
        if previous is not None:
            previous = folder / previous.name
            shutil.copytree(save.previous, previous)
        return Save(path, previous, save.options, save.base)


Made = tuple[Any, str | None]
Making = Callable[[Trained, Path, dict[str, Any]], Made]


def _grpo(trained: Trained, folder: Path, saving: dict[str, Any], **changes: Any) -> Made:
    return trainings.grpo(trained.model, folder, **(saving | {"warmup_steps": 3} | changes)), None


def _grpo_lora(trained: Trained, folder: Path, saving: dict[str, Any]) -> Made:
    options = trainings.options(folder, **(GROUP | saving | {"save_steps": 1, "max_steps": 8}))
    options["warmup_steps"] = 2
    return trl.GRPOTrainer(
        model=trained.model,
        args=trl.GRPOConfig(**options),
        reward_funcs=tiny.letter_reward,
        train_dataset=tiny.prompts(),
        processing_class=tiny.tokenizer(),
        peft_config=lora(),
    ), None


def _grpo_bf16(trained: Trained, folder: Path, saving: dict[str, Any]) -> Made:
    """Weights in bfloat16 and a learning rate of RL: most of them cannot change."""
    weights = Qwen2ForCausalLM.from_pretrained(trained.model).to(torch.bfloat16)
    return trainings.grpo(weights, folder, **(saving | {"learning_rate": 1e-5})), None


def _grpo_sharded(trained: Trained, folder: Path, saving: dict[str, Any]) -> Made:
    return trainings.grpo(trained.model, folder, [Sharded()], **saving), None


def _grpo_resumed(trained: Trained, folder: Path, saving: dict[str, Any]) -> Made:
    first = trained["grpo"]
    out = folder / "out"
    shutil.copytree(first[6].path.parent, out)
    shutil.rmtree(out / "checkpoint-18")
    return trainings.grpo(trained.model, folder, **(saving | {"warmup_steps": 3, "max_steps": 24})), str(
        out / "checkpoint-12"
    )


def _dpo_lora(trained: Trained, folder: Path, saving: dict[str, Any]) -> Made:
    return trl.DPOTrainer(
        model=trained.model,
        args=trl.DPOConfig(**trainings.options(folder, **saving)),
        train_dataset=tiny.pairs(),
        processing_class=tiny.tokenizer(),
        peft_config=lora(),
    ), None


def _sft_padded(trained: Trained, folder: Path, saving: dict[str, Any]) -> Made:
    """More rows than tokens, a head of its own, and two frozen layers."""
    weights = Qwen2ForCausalLM.from_pretrained(
        model(folder / "model", vocab_size=320, tie_word_embeddings=False)
    )
    for layer in weights.model.layers[:2]:
        layer.requires_grad_(False)
    return trainings.sft(weights, folder, **saving), None


def _sft_best(trained: Trained, folder: Path, saving: dict[str, Any]) -> Made:
    best = {"load_best_model_at_end": True, "eval_strategy": "steps", "eval_steps": 6}
    return trainings.sft(trained.model, folder, **(saving | best | {"save_total_limit": 2})), None


RUNS: dict[str, Making] = {
    "grpo": _grpo,
    "grpo-lora": _grpo_lora,
    "grpo-bf16": _grpo_bf16,
    "grpo-sharded": _grpo_sharded,
    "grpo-resumed": _grpo_resumed,
    "grpo-only-model": lambda trained, folder, saving: _grpo(trained, folder, saving, save_only_model=True),
    "rloo": lambda trained, folder, saving: (trainings.rloo(trained.model, folder, **saving), None),
    "dpo": lambda trained, folder, saving: (trainings.dpo(trained.model, folder, **saving), None),
    "dpo-lora": _dpo_lora,
    "kto": lambda trained, folder, saving: (trainings.kto(trained.model, folder, **saving), None),
    "sft-padded": _sft_padded,
    "sft-best": _sft_best,
    "sft-sgd": lambda trained, folder, saving: (
        trainings.sft(trained.model, folder, **(saving | {"optim": "sgd", "learning_rate": 0.1})),
        None,
    ),
    "sft-restarts": lambda trained, folder, saving: (
        trainings.sft(
            trained.model,
            folder,
            **(
                saving
                | {"lr_scheduler_type": "cosine_with_restarts", "lr_scheduler_kwargs": {"num_cycles": 3}}
            ),
        ),
        None,
    ),
    "reward": lambda trained, folder, saving: (trainings.reward(trained.model, folder, **saving), None),
    "line": lambda trained, folder, saving: (trainings.line(folder, **saving), None),
}
"""What is trained, by name: all kinds of trainers and of saves."""

HEALTHY = [
    ("grpo", 6),
    ("grpo", 12),
    ("grpo", 18),
    ("grpo-lora", 1),
    ("grpo-lora", 2),
    ("grpo-lora", 8),
    ("grpo-bf16", 6),
    ("grpo-bf16", 18),
    ("grpo-sharded", 6),
    ("grpo-sharded", 18),
    ("grpo-resumed", 18),
    ("grpo-resumed", 24),
    ("grpo-only-model", 6),
    ("grpo-only-model", 18),
    ("rloo", 6),
    ("rloo", 18),
    ("dpo", 6),
    ("dpo", 18),
    ("dpo-lora", 6),
    ("dpo-lora", 18),
    ("kto", 6),
    ("kto", 18),
    ("sft-padded", 6),
    ("sft-padded", 18),
    ("sft-best", 18),
    ("sft-sgd", 12),
    ("sft-restarts", 6),
    ("sft-restarts", 12),
    ("reward", 18),
    ("line", 18),
]
"""Checkpoints, by run and step, in which nothing is wrong."""

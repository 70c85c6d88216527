"""The faults that are no option: callbacks that break a training from within, and broken rewards."""
# ruff: noqa: ARG002, D102 - hooks of transformers

import math
import os
import signal
from collections.abc import Callable
from typing import Any

import torch
import toys
from peft import LoraConfig
from transformers import TrainerCallback
from trl.rewards import get_soft_overlong_punishment


class NanWeights(TrainerCallback):
    """From step `at` on, one weight is NaN, as after an overflow."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step == self.at:
            with torch.no_grad():
                model.lm_head.weight[5, 0] = math.nan


class Spike(TrainerCallback):
    """For `length` steps from `at` on, the schedule gives `factor` times the learning rate."""

    def __init__(self, at: int, length: int, factor: int) -> None:
        self.window, self.factor = range(at, at + length), factor

    def on_train_begin(
        self, args: Any, state: Any, control: Any, lr_scheduler: Any = None, **kwargs: Any
    ) -> None:
        scheduler = getattr(lr_scheduler, "scheduler", lr_scheduler)
        scheduler.lr_lambdas = [self._spiked(plain) for plain in scheduler.lr_lambdas]

    def _spiked(self, plain: Callable[[int], float]) -> Callable[[int], float]:
        return lambda step: plain(step) * (self.factor if step in self.window else 1)


class Detached(TrainerCallback):
    """The optimizer holds copies of the weights, as one that was built before the adapter was put on."""

    def on_train_begin(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any
    ) -> None:
        for group in optimizer.param_groups:
            group["params"] = [torch.nn.Parameter(p.detach().clone()) for p in group["params"]]


class Killed(TrainerCallback):
    """The process dies when step `at` is done, with no word."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


SABOTAGE: dict[str, Callable[..., TrainerCallback]] = {
    "nan_weights": NanWeights,
    "spike": Spike,
    "detached": Detached,
    "killed": Killed,
    "half_adapter": TrainerCallback,  # see after_construction
    "masked_labels": TrainerCallback,
    "masked_eos": TrainerCallback,
    "only_norm": TrainerCallback,
}


def sabotage(name: str) -> TrainerCallback:
    """The callback that a recipe names: `spike@60,5,100`."""
    kind, _, arguments = name.partition("@")
    return SABOTAGE[kind](*map(int, filter(None, arguments.split(","))))


def after_construction(trainer: Any, names: tuple[str, ...]) -> None:
    """The faults that lie in the trainer itself."""
    if "half_adapter" in names:  # lora_B stays 0, so that the adapter adds nothing and lora_A learns nothing
        for name, weight in trainer.model.named_parameters():
            if "lora_B" in name:
                weight.requires_grad_(False)
    if "only_norm" in names:  # the optimizer is built later, of what is trainable then
        for name, weight in trainer.model.named_parameters():
            weight.requires_grad_(name == "model.norm.weight")
    if "masked_labels" in names:
        _mask(trainer, lambda batch: torch.ones_like(batch["labels"], dtype=torch.bool))
    if "masked_eos" in names:
        eos = trainer.processing_class.eos_token_id
        _mask(trainer, lambda batch: batch["labels"] == eos)


def _mask(trainer: Any, which: Callable[[Any], torch.Tensor]) -> None:
    """What `which` names is no label."""
    collate = trainer.data_collator

    def masked(rows: Any) -> Any:
        batch = collate(rows)
        batch["labels"] = batch["labels"].masked_fill(which(batch), -100)
        return batch

    trainer.data_collator = masked


def lora() -> LoraConfig:
    """An adapter on every linear layer of the toy."""
    return LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")


def _switched(at: int) -> Callable[..., list[float]]:
    def colours(completions: list[str], trainer_state: Any = None, **_: Any) -> list[float]:
        """From step `at` on the reward is turned round: colours cost what they earned."""
        scores = toys.colours(completions)
        return scores if trainer_state.global_step < at else [1 - score for score in scores]

    return colours


def _none_batches(every: int) -> Callable[..., list[float | None]]:
    def colours(completions: list[str], trainer_state: Any = None, **_: Any) -> list[float | None]:
        """In every `every`-th step the judge is not there: no completion has a score."""
        if trainer_state.global_step % every == every - 1:
            return [None] * len(completions)
        return list(toys.colours(completions))

    return colours


def _infinite(every: int) -> Callable[..., list[float]]:
    def colours(completions: list[str], trainer_state: Any = None, **_: Any) -> list[float]:
        """In every `every`-th step one score is +inf, as a division by zero gives."""
        scores = toys.colours(completions)
        if trainer_state.global_step % every == every - 1:
            scores[0] = math.inf
        return scores

    return colours


def _overlong(limit: int) -> Callable[..., list[float]]:
    punish = get_soft_overlong_punishment(limit, limit // 2)

    def overlong(completion_ids: list[list[int]], **_: Any) -> list[float]:
        """TRL's soft punishment of the second half of the limit."""
        return list(punish(completion_ids=completion_ids))

    return overlong


REWARDS: dict[str, Callable[[int], Callable[..., list[Any]]]] = {
    "switched": _switched,
    "none_batches": _none_batches,
    "infinite": _infinite,
    "overlong": _overlong,
}

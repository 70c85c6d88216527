"""What is done to a training from within, and to the process that it runs in.

Invariant: a break happens at the beginning of the step that it names (weights: at its end), once.
"""
# ruff: noqa: ARG002, D102 - hooks of transformers

import math
import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import faults
import torch
from transformers import TrainerCallback

from rldk.recording import session
from rldk.recording.watchdog import Patience, Watchdog

UNUSED = 2
"""`<end>`: no text of the toy holds this token."""
CUDA_MEMORY = (
    "CUDA out of memory. Tried to allocate 2.32 GiB. GPU 0 has a total capacity of 79.10 GiB of which"
    " 1.17 GiB is free. Process 4021 has 77.92 GiB memory in use. Of the allocated memory 70.21 GiB is"
    " allocated by PyTorch, and 6.34 GiB is reserved by PyTorch but unallocated. If reserved but unallocated"
    " memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid fragmentation."
)
"""What torch 2.9 says."""


class At(TrainerCallback):
    """Does something when a step begins."""

    def __init__(self, step: int, action: Callable[[Any], Any]) -> None:
        self.step, self.action = step, action

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            self.action(control)


class NanUnused(TrainerCallback):
    """From a step on, the embedding of a token that nothing reads is NaN."""

    def __init__(self, at: int) -> None:
        self.at = at

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step == self.at:
            with torch.no_grad():
                model.model.embed_tokens.weight[UNUSED] = math.nan


def _raise(error: BaseException, _: Any = None) -> None:
    raise error


def _in_step(trainer: Any, step: int, error: BaseException) -> None:
    plain = trainer.training_step

    def training_step(*args: Any, **kwargs: Any) -> Any:
        if trainer.state.global_step == step:
            raise error
        return plain(*args, **kwargs)

    trainer.training_step = training_step


def _signal(trainer: Any, number: int, step: int) -> None:
    trainer.add_callback(At(step, lambda _: os.kill(os.getpid(), number)))


def _killed_later(trainer: Any, step: int, seconds: int) -> None:
    kill = partial(os.kill, os.getpid(), signal.SIGKILL)
    trainer.add_callback(At(step, lambda _: threading.Timer(seconds, kill).start()))


def _cold(trainer: Any, step: int) -> None:
    def cool(_: Any) -> None:
        trainer.generation_config.temperature = 0.05

    trainer.add_callback(At(step, cool))


def _stops(trainer: Any, step: int) -> None:
    def stop(control: Any) -> None:
        control.should_training_stop = True

    trainer.add_callback(At(step, stop))


def _other_end(trainer: Any) -> None:
    """The generation config has a list, as those of chat models have; see `building.build`."""
    trainer.model.generation_config.eos_token_id = [2, 1]


def _impatient(_: Any) -> None:
    patience = Patience(least=1.0, tick=0.2)
    session.Watchdog = partial(Watchdog, patience=patience)  # type: ignore[misc, assignment]


def _half_adapter(trainer: Any) -> None:
    faults.after_construction(trainer, ("half_adapter",))


BREAKS: dict[str, Callable[..., None]] = {
    "nan_weights": lambda trainer, step: trainer.add_callback(faults.NanWeights(step)),
    "nan_unused": lambda trainer, step: trainer.add_callback(NanUnused(step)),
    "detached": lambda trainer: trainer.add_callback(faults.Detached()),
    "half_adapter": _half_adapter,
    "cold": _cold,
    "other_end": _other_end,
    "other_end_unnamed": lambda _: None,
    "signal": _signal,
    "killed_later": _killed_later,
    "cuda_memory": lambda trainer, step: _in_step(trainer, step, torch.OutOfMemoryError(CUDA_MEMORY)),
    "memory": lambda trainer, step: _in_step(trainer, step, MemoryError()),
    "raises": lambda trainer, step: trainer.add_callback(At(step, partial(_raise, KeyError("accuracy")))),
    "abort": lambda trainer, step: trainer.add_callback(At(step, lambda _: os.abort())),
    "stops": _stops,
    "impatient": _impatient,
}


def break_into(trainer: Any, name: str) -> None:
    """Do to a trainer what a row names: `signal@9,30`."""
    kind, _, arguments = name.partition("@")
    BREAKS[kind](trainer, *map(int, filter(None, arguments.split(","))))

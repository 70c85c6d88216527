"""What a trainer holds when its training begins: parameters, optimizer, reference model, first labels.

Invariant: parameters are counted and compared as objects: no value of a tensor on a device is read. Where a
framework shards, flattens or copies parameters, the numbers that it hides are None.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from rldk.integrations.trl.first_labels import count_labels
from rldk.recording.completion_stats import Ends
from rldk.recording.guard import Guard
from rldk.recording.stack_location import TRAINERS, TRAINING
from rldk.schema.training_start import TrainingStart

__all__ = ["training_start"]

PLAIN = ("torch.optim.", "bitsandbytes.optim.", "transformers.optimization")
"""Modules of optimizers that hold the parameters themselves, and neither copies nor placeholders of them."""


def training_start(
    args: Any, state: Any, hooked: Mapping[str, Any], ends: Ends, guard: Guard
) -> TrainingStart:
    """What the trainer holds, as far as it can be known. To be called from within the training.

    Args:
        args: the trainer's arguments.
        state: its state.
        hooked: what it hands to every hook.
        ends: how a sequence can end.
        guard: takes what fails.
    """
    model: Any = hooked.get("model")
    optimizer = _unwrapped(hooked.get("optimizer"))
    if not hasattr(model, "parameters"):
        return TrainingStart()
    parameters, in_optimizer = list(model.parameters()), _held(optimizer)
    trainable = [one for one in parameters if one.requires_grad]
    is_hidden = _is_hidden(args, parameters)
    if is_hidden:
        in_optimizer = None
    elif not trainable and any(one.requires_grad for one in (in_optimizer or {}).values()):
        is_hidden = True  # the training is of something else
    reference = guard.attempt("the reference model", partial(_reference, state), None)
    labels = guard.attempt("the first labels", partial(count_labels, args, hooked, ends), None)
    return TrainingStart(
        parameters=None if is_hidden else _size(parameters),
        trainable=None if is_hidden else _size(trainable),
        optimized=None
        if in_optimizer is None
        else _size(one for one in trainable if id(one) in in_optimizer),
        in_reference=None if reference is None or is_hidden else _shared(trainable, reference),
        optimizer=None if optimizer is None else type(optimizer).__name__,
        learning_rate=_learning_rate(optimizer),
        adapter=_adapter(model),
        labels=labels,
    )


def _unwrapped(optimizer: Any) -> Any:
    """The optimizer behind accelerate's wrapper."""
    is_wrapper = type(optimizer).__module__.startswith("accelerate.")
    return getattr(optimizer, "optimizer", None) if is_wrapper else optimizer


def _held(optimizer: Any) -> dict[int, Any] | None:
    """The parameters of an optimizer, by id; None where it may hold something else in their place."""
    if not f"{type(optimizer).__module__}.".startswith(PLAIN):
        return None
    return {id(one): one for group in optimizer.param_groups for one in group["params"]}


def _is_hidden(args: Any, parameters: Iterable[Any]) -> bool:
    """Whether a framework shards or flattens the parameters, so that this process does not see them."""
    if any(getattr(args, name, None) for name in ("deepspeed", "fsdp")):
        return True
    switches = ("ACCELERATE_USE_DEEPSPEED", "ACCELERATE_USE_FSDP", "ACCELERATE_USE_MEGATRON_LM")
    if any(os.environ.get(name, "").lower() == "true" for name in switches):
        return True
    return any(hasattr(one, "placements") or hasattr(one, "ds_id") for one in parameters)  # DTensor, ZeRO-3


def _size(parameters: Iterable[Any]) -> int:
    return sum(one.numel() for one in parameters)


def _shared(trainable: Iterable[Any], reference: Any) -> int:
    """How many of the trainable parameters lie in the memory of the reference model."""
    there = {_place(one) for one in reference.parameters()}
    return _size(one for one in trainable if _place(one) in there)


def _place(parameter: Any) -> tuple[int, int]:
    """Where a parameter lies: its address and size, or its identity where it has no memory of its own."""
    return parameter.data_ptr() or id(parameter), parameter.numel()


def _reference(state: Any) -> Any:
    """The reference model of the trainer whose state this is; None where it has or shows none."""
    frame = sys._getframe()  # noqa: SLF001 - the documented way to a frame; hooks are not given the trainer
    while frame is not None:
        module = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if frame.f_code.co_name in TRAINING and module in TRAINERS:
            trainer = frame.f_locals.get("self")
            if getattr(trainer, "state", None) is state:
                return getattr(trainer, "ref_model", None)
        frame = frame.f_back  # type: ignore[assignment]
    return None


def _learning_rate(optimizer: Any) -> float | None:
    """The highest rate of the groups; a rate that is a tensor is not read, since it may be on a device."""
    groups = getattr(optimizer, "param_groups", ())
    rates = [group.get("initial_lr", group.get("lr")) for group in groups]
    return max((float(rate) for rate in rates if isinstance(rate, int | float)), default=None)


def _adapter(model: Any) -> str | None:
    """The type of the first PEFT adapter."""
    adapters = getattr(model, "peft_config", None)
    if not isinstance(adapters, Mapping) or not adapters:
        return None
    kind = getattr(next(iter(adapters.values())), "peft_type", None)
    return None if kind is None else str(getattr(kind, "value", kind))

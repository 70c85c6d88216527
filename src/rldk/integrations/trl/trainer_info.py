"""What a training says of itself: its algorithm, seeds, model, sizes and configuration.

Invariant: only `args`, `state`, the model's and the optimizer's attributes are read; nothing is
computed on a device, nothing of TRL is imported, and what cannot be known is None.
"""

import os
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from packaging.version import Version

from rldk.metrics.dialects import Dialect
from rldk.metrics.dialects.trl import TRL, TRL_0
from rldk.schema.event import ModelInfo, Phase, Rng

__all__ = [
    "MINIMUM_TRL",
    "OFFLINE",
    "algorithm",
    "base_model",
    "batch_size",
    "check_trl",
    "checkpoint_folder",
    "configuration",
    "counts_every_end",
    "dialect",
    "model_info",
    "record_spacing",
    "rng",
    "run_name",
    "sequence_length",
    "trainer_dir",
]

MINIMUM_TRL = "0.23"

OFFLINE = frozenset({"sft", "dpo", "kto", "reward", "cpo", "orpo", "bco", "tpo", "prm"})
"""Algorithms that train on given sequences and generate nothing."""

_NAMES = {"onlinedpo": "online_dpo", "nashmd": "nash_md", "asyncgrpo": "async_grpo"}


def check_trl() -> None:
    """Refuse a TRL that logs other keys than the ones rldk knows; no TRL at all is fine.

    Raises:
        ImportError: TRL is installed and older than `MINIMUM_TRL`.
    """
    found = _trl_version()
    if found is not None and found < Version(MINIMUM_TRL):
        raise ImportError(
            f"rldk needs TRL {MINIMUM_TRL} or newer, and found TRL {found}. "
            f"Upgrade it with: pip install --upgrade 'trl>={MINIMUM_TRL}'"
        )


def dialect() -> Dialect:
    """The metric names of the installed TRL."""
    found = _trl_version()
    return TRL_0 if found is not None and found < Version("1.0.dev0") else TRL


def counts_every_end() -> bool:
    """Whether TRL counts every end token of the generation config, as 1.16 does, or the tokenizer's alone."""
    return dialect() is TRL


def base_model(model: Any) -> str | None:
    """The folder that the model was loaded from; None where it came from elsewhere."""
    name = _model_name(model)
    return os.path.abspath(name) if name and os.path.isdir(name) else None


def algorithm(args: Any) -> str:
    """`grpo`, `dpo`, ...: the nearest TRL configuration class of `args`; `trainer` where there is none."""
    for kind in type(args).__mro__:
        if kind.__module__.partition(".")[0] == "trl" and kind.__name__.endswith("Config"):
            name = kind.__name__.removesuffix("Config").lower()
            return _NAMES.get(name, name)
    return "trainer"


def run_name(args: Any) -> str:
    """The name that the trainer suggests: `args.run_name`, else the last part of `args.output_dir`.

    Older transformers set `run_name` to the whole `output_dir`: that is no name of its own.
    """
    name = getattr(args, "run_name", None)
    return str(name) if name and name != args.output_dir else Path(trainer_dir(args)).name


def trainer_dir(args: Any) -> str:
    """Absolute path of the trainer's own `output_dir`: what a resume is recognised by."""
    return os.path.abspath(getattr(args, "output_dir", None) or ".")


def checkpoint_folder(args: Any, state: Any) -> Path:
    """Where the trainer saved just now: a trial of a hyperparameter search has a folder of its own."""
    folder, name = Path(trainer_dir(args)), f"checkpoint-{state.global_step}"
    if not state.is_hyper_param_search:
        return folder / name
    if state.trial_name is not None:
        return folder / str(state.trial_name) / name
    return max(folder.glob(f"run-*/{name}"), key=os.path.getmtime, default=folder / name)


def record_spacing(args: Any, state: Any) -> int:
    """Steps between two records of the training, at most."""
    strategy = getattr(args.logging_strategy, "value", args.logging_strategy)
    if strategy == "steps":
        return max(int(state.logging_steps), 1)
    epochs = max(state.num_train_epochs, 1) if strategy == "epoch" else 1
    return max(-(-int(state.max_steps) // int(epochs)), 1)


def rng(args: Any) -> Rng:
    """The seeds of this process."""
    seed = getattr(args, "seed", None)
    seed = None if seed is None else int(seed)
    hash_seed = os.environ.get("PYTHONHASHSEED", "")
    return Rng(
        seed=seed,
        python_hash_seed=int(hash_seed) if hash_seed.isdecimal() else None,
        torch_seed=torch.initial_seed(),
        numpy_seed=seed,
        random_seed=seed,
    )


def model_info(args: Any, model: Any, optimizer: Any, *, run_id: str, git_sha: str | None) -> ModelInfo:
    """Identity of the run and the model."""
    for _ in range(4):  # accelerate's and DeepSpeed's wrappers
        optimizer = getattr(optimizer, "optimizer", optimizer)
    scheduler = getattr(args, "lr_scheduler_type", None)
    return ModelInfo(
        run_id=run_id,
        git_sha=git_sha,
        model_name=_model_name(model),
        model_size=None if _is_sharded(args, model) else _model_size(model),
        optimizer=None if optimizer is None else type(optimizer).__name__,
        scheduler=None if scheduler is None else str(getattr(scheduler, "value", scheduler)),
    )


def batch_size(args: Any, phase: Phase) -> int | None:
    """Sequences that one optimizer step (in an evaluation: one batch) uses, over all ranks."""
    world = getattr(args, "world_size", 1)
    if phase == "eval":
        return _product(getattr(args, "eval_batch_size", None), world)
    if algorithm(args) == "ppo":  # set by the trainer: the batch of one update
        return _product(getattr(args, "batch_size", None))
    per_step = getattr(args, "gradient_accumulation_steps", 1)
    return _product(getattr(args, "train_batch_size", None), world, per_step)


def sequence_length(args: Any, model: Any) -> int | None:
    """The longest sequence that the configuration allows, in tokens.

    `max_length`, else prompt and completion limits together, else the model's own limit.
    """
    limit = getattr(args, "max_length", None)
    if isinstance(limit, int):
        return limit
    prompt = getattr(args, "max_prompt_length", None)
    completion = getattr(args, "max_completion_length", None)
    if isinstance(prompt, int) and isinstance(completion, int):
        return prompt + completion
    limit = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    return limit if isinstance(limit, int) else None


def configuration(args: Any, model: Any) -> dict[str, Any]:
    """The configuration for `{run_id}_run.json`; the `Recorder` blanks its secrets."""
    config = getattr(model, "config", None)
    return {
        "algorithm": algorithm(args),
        "args_class": type(args).__name__,
        "args": args.to_dict(),
        "model_class": type(model).__name__,
        "model_config": None if config is None else config.to_dict(),
        "dtype": str(getattr(model, "dtype", None)).removeprefix("torch."),
        "world_size": getattr(args, "world_size", 1),
    }


def _trl_version() -> Version | None:
    try:
        return Version(version("trl"))
    except PackageNotFoundError:
        return None
    except OSError:  # no more descriptors: what is loaded says it, too
        loaded = getattr(sys.modules.get("trl"), "__version__", None)
        return None if loaded is None else Version(loaded)


def _model_name(model: Any) -> str | None:
    config = getattr(model, "config", None)
    for name in (getattr(model, "name_or_path", None), getattr(config, "_name_or_path", None)):
        if isinstance(name, str) and name:
            return name
    return getattr(config, "model_type", None)


def _model_size(model: Any) -> int | None:
    """Number of parameters, also where ZeRO-3 keeps them elsewhere (`ds_numel`)."""
    if not hasattr(model, "parameters"):
        return None
    size = sum(getattr(p, "ds_numel", None) or p.numel() for p in model.parameters())
    return size or None


def _is_sharded(args: Any, model: Any) -> bool:
    """Whether this process sees shards of the parameters only, without their whole sizes (FSDP 1)."""
    fsdp = getattr(args, "fsdp", None) or os.environ.get("ACCELERATE_USE_FSDP") == "true"
    if not fsdp or not hasattr(model, "parameters"):
        return False
    return not all(hasattr(parameter, "placements") for parameter in model.parameters())  # DTensor


def _product(*factors: int | None) -> int | None:
    result = 1
    for factor in factors:
        if factor is None:
            return None
        result *= int(factor)
    return result

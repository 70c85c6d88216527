"""What a training loop of one's own says of itself: its configuration, seeds, names and rank.

Invariant: nothing is imported for it, nothing is computed on a device, and what cannot be known is None.
"""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from rldk.metrics.dialects import Dialect
from rldk.metrics.dialects.generic import GENERIC
from rldk.recording.redaction import fields_of
from rldk.schema.event import Rng

__all__ = [
    "Loop",
    "description",
    "options_of",
    "rank_of_process",
    "script_name",
    "seeds",
    "trainer_dir_of",
    "world_size_of_process",
]

_RANKS = ("RANK", "SLURM_PROCID", "OMPI_COMM_WORLD_RANK", "PMI_RANK")
_WORLD_SIZES = ("WORLD_SIZE", "SLURM_NTASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""Environment variables of torchrun, Slurm, Open MPI and MPICH, in this order."""


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """What the user says of a loop."""

    config: Any
    """What it was configured with: anything."""
    algorithm: str | None
    """`grpo`, `ppo`, ...; None where it is not known."""
    dialect: Dialect | None
    """Whose keys it logs; None: those of no framework."""
    seed: int | None
    """What it seeded its generators with."""
    from_step: int
    """The step that it resumes from; 0: it is new."""
    rank: int
    """This process, counted from 0."""
    caller: FrameType
    """The frame of the function that holds the loop."""


def description(loop: Loop, options: dict[str, Any]) -> dict[str, Any]:
    """What `{run_id}_run.json` says of a loop, whose options are plain data without secrets."""
    return {
        "algorithm": loop.algorithm,
        "dialect": (loop.dialect or GENERIC).name,
        "args_class": type(loop.config).__name__,
        "args": options,
        "world_size": world_size_of_process(),
    }


def options_of(config: Any) -> dict[str, Any]:
    """A configuration by the names of its options.

    Raises:
        Exception: it cannot be read.
    """
    if config is None:
        return {}
    if not isinstance(config, Mapping) and callable(getattr(config, "to_dict", None)):
        config = config.to_dict()
    if isinstance(config, Mapping):
        return {str(name): value for name, value in config.items()}
    fields = fields_of(config)
    return dict(vars(config)) if fields is None else fields


def trainer_dir_of(options: Mapping[str, Any]) -> str:
    """Where a loop saves: its `output_dir`, if it has one, else the working folder."""
    folder = options.get("output_dir")
    return os.path.abspath(folder if isinstance(folder, str | os.PathLike) else ".")


def seeds(seed: int | None) -> Rng:
    """The seeds, as far as they are known; torch is asked where the loop has loaded it."""
    hash_seed = os.environ.get("PYTHONHASHSEED", "")
    torch = sys.modules.get("torch")
    return Rng(
        seed=seed,
        python_hash_seed=int(hash_seed) if hash_seed.isdecimal() else None,
        torch_seed=None if torch is None else torch.initial_seed(),
    )


def script_name() -> str:
    """The name of the script that runs; `run` in a notebook."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(script).stem if script else "run"


def rank_of_process() -> int:
    """This process, counted from 0: as torch.distributed numbers it, else as the launcher does, else 0."""
    group = _process_group()
    return _of_launcher(_RANKS, 0) if group is None else int(group.get_rank())


def world_size_of_process() -> int:
    """Number of processes: as torch.distributed knows it, else the launcher, else 1."""
    group = _process_group()
    return max(1, _of_launcher(_WORLD_SIZES, 1)) if group is None else int(group.get_world_size())


def _process_group() -> Any:
    """`torch.distributed`, where the loop has loaded it and initialized its process group; else None."""
    distributed = sys.modules.get("torch.distributed")
    try:
        has_group = distributed is not None and distributed.is_available() and distributed.is_initialized()
    except Exception:  # a module that is being imported
        return None
    return distributed if has_group else None


def _of_launcher(names: tuple[str, ...], default: int) -> int:
    values = (os.environ.get(name, "") for name in names)
    return next((int(value) for value in values if value.isdecimal()), default)

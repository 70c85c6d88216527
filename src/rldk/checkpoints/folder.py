"""The content of a checkpoint's folder: the files of weights, and the files missing for a resume.

Invariant: a file is required only if the trainer writes it together with the other files of the folder; thus
a published model lacks nothing.
"""

import os
import re
from collections.abc import Collection
from contextlib import suppress
from itertools import islice, pairwise
from typing import Any, Literal

import msgspec

from rldk.checkpoints.safe_open import finite, integer, read_json
from rldk.schema.checkpoint import MAX_NAMED, Best, TrainerProgress

__all__ = [
    "Contents",
    "best_of",
    "contents_of",
    "is_of_trainer",
    "progress_of",
    "size_of",
    "state_of",
    "step_of",
]

MAX_STATE = 320_000_000
"""Bytes of a trainer_state.json up to which rldk reads it: 200,000 records of 32 metrics."""
MAX_RECORDS = 1_000_000
"""JSON objects in it, each of which may be a record."""
MAX_INDEX = 32_000_000
"""Bytes of an index of shards up to which rldk reads it: 300,000 tensors."""
MAX_FILES = 1_000_000
"""Files of a folder up to which rldk adds their sizes."""
MAX_PATH = 4096
"""Bytes of a path, by the limit of Linux."""
RECENT = 10
"""Records of the learning rate that show the slope of the schedule now; a warm-up is steeper."""
STATE_FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth")
"""What `transformers.Trainer._save_checkpoint` adds to the weights unless `save_only_model` is set."""

_NULL = msgspec.Raw(b"null")
_SHARD = re.compile(r"(?:model|adapter_model)-\d+-of-\d+\.safetensors")
_PICKLED = re.compile(r"(?:pytorch_model|adapter_model).*\.bin")
_RANK = re.compile(r"rng_state_(\d+)\.pth")
_ELSEWHERE = re.compile(r"pytorch_model_fsdp.*|global_step\d+|optimizer_\d+|mp_rank_.*|.*\.distcp")
_TORCH = re.compile(
    r"(?!(?:optim|sched|rng|random|scaler|sampler|training_args|custom_)).+\.(?:pt|pth|bin|ckpt)"
)
"""Files of `torch.save` that may hold weights: their names are not those of a training's state."""
_OF_TRAINER = ("trainer_state.json", "training_args.bin")
"""What `transformers.Trainer._save_checkpoint` adds to each checkpoint, and no other program writes."""
_SAVED = re.compile(r"checkpoint-\d+")
_STEP = re.compile(r"(?:checkpoint|global_step|step)[-_]?(\d+)")


class Contents(msgspec.Struct, frozen=True):
    """The weights of a folder, by the names of its files."""

    kind: Literal["model", "adapter", "none"]
    """Whole weights, an adapter, or nothing readable."""
    parts: list[str] = []
    """Names of the files of weights that exist."""
    faults: list[str] = []
    """Files that are missing."""
    notes: list[str] = []
    """Weights that exist and that rldk does not read."""
    files_of_tensors: dict[str, str] = {}
    """Tensor -> file, by the index; empty if there is none."""
    below: str = ""
    """The sub-folder of an adapter and its configuration; empty if they are in this folder."""


def contents_of(folder: str, names: Collection[str]) -> Contents:
    """The weights among the `names` of a folder."""
    found = _here(folder, names)
    inner = None if found.parts else _below(folder, names)
    return found if inner is None else inner


def _here(folder: str, names: Collection[str]) -> Contents:
    adapter = "adapter_config.json" in names or any(name.startswith("adapter_model") for name in names)
    stem, kind = ("adapter_model", "adapter") if adapter else ("model", "model")
    single, index = f"{stem}.safetensors", f"{stem}.safetensors.index.json"
    shards = sorted(name for name in names if _SHARD.fullmatch(name) and name.startswith(stem + "-"))
    if single in names:
        return Contents(kind, [single])  # type: ignore[arg-type]
    if index in names:
        return _indexed(folder, index, kind, names)
    if shards:
        return Contents(kind, shards, [f"{index}, which says where each tensor is, is missing"])  # type: ignore[arg-type]
    notes = [
        f"{name}: weights in a format that is not read here" for name in sorted(names) if _is_listed(name)
    ]
    notes += [
        f"{name}: weights of another name; to read them: rldk checkpoint {os.path.join(folder, name)}"
        for name in sorted(names)
        if name.endswith(".safetensors") or (_TORCH.fullmatch(name) and not _is_listed(name))
    ]
    expected = not notes and (adapter or _is_of_transformers(folder, names))
    faults = [f"{single} is missing"] if expected else []
    return Contents("none", [], faults, notes[:5])


def _below(folder: str, names: Collection[str]) -> Contents | None:
    """An adapter that is not called `default`: peft saves it in a folder of its name.

    If several hold weights, it takes the first: their tensors have the same names.
    """
    if "adapter_config.json" in names or "config.json" in names:
        return None  # the weights that belong here are missing
    if any(_SAVED.fullmatch(name) for name in names):
        return None  # a trainer's output_dir may hold checkpoints and a final adapter
    found: dict[str, Contents] = {}
    for name in sorted(names):
        with suppress(OSError):  # most of them are files
            held = os.listdir(os.path.join(folder, name))
            if "adapter_config.json" in held:
                found[name] = _here(os.path.join(folder, name), held)
    if not found:
        return None
    taken = next((name for name, one in found.items() if one.parts), next(iter(found)))
    inner = found[taken]
    others = [
        f"{name}: another adapter; to read it: rldk checkpoint {os.path.join(folder, name)}"
        for name in found
        if name != taken
    ]
    return Contents(
        inner.kind,
        [f"{taken}/{part}" for part in inner.parts],
        [f"{taken}: {fault}" for fault in inner.faults],
        [f"{taken}: {note}" for note in inner.notes] + others[:5],
        {tensor: f"{taken}/{file}" for tensor, file in inner.files_of_tensors.items()},
        taken,
    )


def _indexed(folder: str, index: str, kind: str, names: Collection[str]) -> Contents:
    content, unread = read_json(os.path.join(folder, index), _Index, MAX_INDEX)
    weight_map = content.weight_map if content else None
    if weight_map is None:
        return Contents(kind, [], [f"{index}: {unread.why if unread else 'it has no weight_map'}"])  # type: ignore[arg-type]
    listed = sorted(set(weight_map.values()))
    faults = [f"{name[:100]}, which {index} lists, is missing" for name in listed if name not in names]
    return Contents(kind, [name for name in listed if name in names], faults[:MAX_NAMED], [], weight_map)  # type: ignore[arg-type]


class _Index(msgspec.Struct):
    """The one field that rldk needs: the decoder skips all others."""

    weight_map: dict[str, str] | None = None


class _Config(msgspec.Struct):
    """The fields that transformers writes in each config.json."""

    model_type: msgspec.Raw = _NULL
    architectures: msgspec.Raw = _NULL
    transformers_version: msgspec.Raw = _NULL


def _is_listed(name: str) -> bool:
    """Whether a name is of weights in a known format that rldk does not read."""
    return bool(_PICKLED.fullmatch(name) or _ELSEWHERE.fullmatch(name))


def _is_of_transformers(folder: str, names: Collection[str]) -> bool:
    """Whether transformers saved the folder; a user's own loop may write a config.json too."""
    if not is_of_trainer(names) and "config.json" in names:
        config, _ = read_json(os.path.join(folder, "config.json"), _Config)
        return config is not None and config != _Config()
    return is_of_trainer(names)


def is_of_trainer(names: Collection[str]) -> bool:
    """Whether the folder is a checkpoint of `transformers.Trainer`, complete or not."""
    return any(name in names for name in _OF_TRAINER)


def state_of(names: Collection[str]) -> tuple[Literal["whole", "partial", "weights"], list[str]]:
    """How much of the training's state a Trainer's folder holds, and the names of its missing files."""
    ranks = sorted(int(found[1]) for name in names if (found := _RANK.fullmatch(name)))
    sharded = any(re.fullmatch(r"global_step\d+|optimizer_\d+", name) for name in names)
    there = {
        "optimizer.pt": sharded or "optimizer.pt" in names or "optimizer.bin" in names,
        # DeepSpeed keeps its own scheduler in its own files
        "scheduler.pt": sharded or "scheduler.pt" in names,
        "rng_state.pth": "rng_state.pth" in names or bool(ranks),
        "trainer_state.json": "trainer_state.json" in names,
    }
    missing = [name for name, found in there.items() if not found]
    if ranks and len(ranks) <= ranks[-1]:
        missing += [f"rng_state_{rank}.pth" for rank in range(ranks[-1]) if rank not in ranks][:MAX_NAMED]
    if not any(there[name] for name in STATE_FILES):
        return "weights", missing
    return ("partial" if missing else "whole"), missing


class _Record(msgspec.Struct):
    step: msgspec.Raw = _NULL
    learning_rate: msgspec.Raw = _NULL


class _State(msgspec.Struct):
    """The fields that rldk needs: the decoder skips all others."""

    global_step: msgspec.Raw = _NULL
    best_model_checkpoint: msgspec.Raw = _NULL
    log_history: list[_Record] = []


def _scalar(raw: msgspec.Raw) -> Any:
    """A number or a text of the file; None for anything else, which may have any size."""
    if len(memoryview(raw)) > MAX_PATH:
        return None
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        return msgspec.json.decode(raw, type=float | int | str | bool | None)
    return None


def progress_of(folder: str) -> tuple[TrainerProgress | None, list[tuple[int, float]], str | None]:
    """`trainer_state.json`: the progress, each logged (step, learning rate), the best checkpoint's path."""
    state, unread = read_json(os.path.join(folder, "trainer_state.json"), _State, MAX_STATE, MAX_RECORDS)
    if unread is not None:
        return (
            TrainerProgress(fault=unread.why) if unread.damaged else TrainerProgress(unread=unread.why),
            [],
            None,
        )
    if state is None:
        return None, [], None
    rates = [
        (at, rate)
        for record in state.log_history
        if (step := finite(_scalar(record.step))) is not None
        and (at := integer(int(step))) is not None
        and (rate := finite(_scalar(record.learning_rate))) is not None
    ]
    progress = TrainerProgress(step=_whole(_scalar(state.global_step)))
    if rates:
        progress.logged_step, progress.logged_lr = rates[-1]
        progress.updates = _updates(rates)
    changes = [
        abs(after[1] - before[1]) / (after[0] - before[0])
        for before, after in pairwise(rates[-RECENT:])
        if after[0] > before[0]
    ]
    progress.steepest = max(changes, default=None)
    best = _scalar(state.best_model_checkpoint)
    return progress, rates, best if isinstance(best, str) else None


def _whole(value: Any) -> int | None:
    """A step; some trainers write it as a float."""
    number = finite(value)
    return integer(int(number)) if number is not None and number.is_integer() else None


def _updates(rates: list[tuple[int, float]]) -> int:
    """Steps with a learning rate above 0; a record counts for all steps since the record before it."""
    steps = [0, *(step for step, _ in rates)]
    return sum(max(steps[i + 1] - steps[i], 0) for i, (_, rate) in enumerate(rates) if rate > 0)


def best_of(folder: str, saved_path: str | None) -> Best | None:
    """Whether the best checkpoint is at the trainer's path, or in the folder of this checkpoint."""
    if not saved_path:
        return None
    parent = os.path.dirname(os.path.abspath(folder))
    sibling = os.path.join(parent, os.path.basename(saved_path.rstrip("/\\")))
    exists = os.path.isdir(saved_path) or os.path.isdir(sibling)
    # the trainer's path may be relative to another folder than ours
    recorded = os.path.normpath(os.path.dirname(saved_path.rstrip("/\\")) or ".").lstrip("./")
    return Best(path=saved_path[:500], exists=exists, moved=not parent.endswith(recorded))


def step_of(folder: str) -> int | None:
    """The step in a folder's name."""
    found = _STEP.fullmatch(os.path.basename(os.path.abspath(folder)))
    return int(found[1]) if found and len(found[1]) < 16 else None


def size_of(folder: str) -> int:
    """Bytes of the files in a folder and its sub-folders, which hold sharded optimizers."""
    total, left, places = 0, MAX_FILES, [folder]
    while places and left > 0:
        with suppress(OSError), os.scandir(places.pop()) as found:  # deleted meanwhile
            for one in islice(found, left):
                left -= 1
                with suppress(OSError):
                    if one.is_dir(follow_symlinks=False):
                        places.append(one.path)
                    else:
                        total += one.stat(follow_symlinks=False).st_size
    return total

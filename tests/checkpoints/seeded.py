"""Faults that are put into real checkpoints, and the rule under which each must be found."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file

from checkpoints.trained import Save


class Fault(NamedTuple):
    """One fault."""

    name: str
    rule: str
    severity: str
    source: tuple[str, int]
    """Run and step of the checkpoint that is spoiled."""
    spoil: Callable[[Save], None]


def weights(folder: Path) -> Path:
    """The file of weights; of several, the last."""
    return max(folder.glob("*model*.safetensors"))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    """Load a file of weights, change it, and write it again."""
    path = weights(folder)
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


def change_json(path: Path, **changes: Any) -> None:
    """Set keys of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def change_torch(path: Path, change: Callable[[Any], Any]) -> None:
    """Load a file of torch.save, change it, and write it again."""
    content = torch.load(path, weights_only=False)
    change(content)
    torch.save(content, path)


def cut(path: Path, share: float) -> None:
    """Keep the first bytes of a file."""
    os.truncate(path, int(path.stat().st_size * share))


def some(tensors: dict[str, torch.Tensor], part: str = "mlp.up_proj") -> str:
    """The name of one tensor."""
    return next(name for name in sorted(tensors) if part in name)


def _wrong_header(save: Save) -> None:
    with weights(save.path).open("r+b") as file:
        file.seek(8)
        file.write(b'{"a": nonsense}')


def _huge_header(save: Save) -> None:
    with weights(save.path).open("r+b") as file:
        file.write((100_000_001).to_bytes(8, "little"))
    os.truncate(weights(save.path), 100_100_000)


def _trailing(save: Save) -> None:
    with weights(save.path).open("ab") as file:
        file.write(b"\0" * 7)


def _empty_tensor(save: Save) -> None:
    change_tensors(save.path, lambda t: t.update({some(t): torch.empty(0)}))


def _out_of_shard(save: Save) -> None:
    change_tensors(save.path, lambda t: t.pop(min(t)))


def _value(value: float) -> Callable[[Save], None]:
    def spoil(save: Save) -> None:
        change_tensors(save.path, lambda t: t[some(t)].view(-1).__setitem__(5, value))

    return spoil


def _unchanged(save: Save) -> None:
    weights(save.path).write_bytes(weights(save.previous).read_bytes())


def _zero_lora(save: Save) -> None:
    change_tensors(save.path, lambda t: [v.zero_() for k, v in t.items() if "lora_B" in k])


def _empty_adapter(save: Save) -> None:
    change_tensors(save.path, dict.clear)


def _runaway_layer(save: Save) -> None:
    change_tensors(save.path, lambda t: [v.mul_(2) for k, v in t.items() if "layers.3.mlp" in k])


def _retyped(save: Save) -> None:
    change_tensors(save.path, lambda t: t.update({k: v.half() for k, v in t.items()}))


def _more_tokens(save: Save) -> None:
    path = save.path / "tokenizer.json"
    added = json.loads(path.read_text())["added_tokens"]
    change_json(path, added_tokens=[*added, added[-1] | {"id": 300, "content": "<think>"}])


def _state(change: Callable[[dict[int, dict[str, torch.Tensor]]], Any]) -> Callable[[Save], None]:
    return lambda save: change_torch(save.path / "optimizer.pt", lambda content: change(content["state"]))


def _schedule_anew(save: Save) -> None:
    for name in ("optimizer.pt", "scheduler.pt"):
        change_torch(save.path / name, _full_rate)


def _full_rate(content: dict[str, Any]) -> None:
    if "param_groups" in content:
        for group in content["param_groups"]:
            group["lr"] = group["initial_lr"]
    else:
        content["_last_lr"] = content["base_lrs"]


def _nan_moment(state: dict[int, dict[str, torch.Tensor]]) -> None:
    state[2]["exp_avg_sq"].view(-1)[0] = float("nan")


def _without(name: str) -> Callable[[Save], None]:
    return lambda save: (save.path / name).unlink()


def _cut_to(name: str, share: float) -> Callable[[Save], None]:
    return lambda save: cut(save.path / name, share)


def _without_best(save: Save) -> None:
    gone = str(save.path.parent / "checkpoint-3")
    change_json(save.path / "trainer_state.json", best_model_checkpoint=gone)


def _config(**changes: Any) -> Callable[[Save], None]:
    return lambda save: change_json(save.path / "config.json", **changes)


def _adapter(**changes: Any) -> Callable[[Save], None]:
    return lambda save: change_json(save.path / "adapter_config.json", **changes)


INCOMPLETE, UNSOUND = "checkpoint-incomplete", "checkpoint-non-finite"
CONFIG, OPTIMIZER = "adapter-config", "optimizer-state"
VOCABULARY, DRIFT = "vocabulary-mismatch", "weight-drift"
FULL, SHARDS, BF16, LORA = ("grpo", 12), ("grpo-sharded", 12), ("grpo-bf16", 12), ("grpo-lora", 8)

FAULTS = [
    Fault("weights cut short", INCOMPLETE, "critical", FULL, lambda s: cut(weights(s.path), 0.6)),
    Fault("weights cut in their header", INCOMPLETE, "critical", FULL, lambda s: cut(weights(s.path), 0.004)),
    Fault("wrong header", INCOMPLETE, "critical", FULL, _wrong_header),
    Fault("header of 100 MB", INCOMPLETE, "critical", FULL, _huge_header),
    Fault("trailing bytes", INCOMPLETE, "critical", FULL, _trailing),
    Fault("missing shard", INCOMPLETE, "critical", SHARDS, lambda s: weights(s.path).unlink()),
    Fault("tensor not in its shard", INCOMPLETE, "critical", SHARDS, _out_of_shard),
    Fault("tensor without elements", INCOMPLETE, "critical", FULL, _empty_tensor),
    Fault("missing weights", INCOMPLETE, "critical", FULL, lambda s: weights(s.path).unlink()),
    Fault("missing optimizer.pt", INCOMPLETE, "warning", FULL, _without("optimizer.pt")),
    Fault("missing config.json", INCOMPLETE, "warning", FULL, _without("config.json")),
    Fault("optimizer.pt cut short", INCOMPLETE, "critical", FULL, _cut_to("optimizer.pt", 0.9)),
    Fault("trainer_state.json cut short", INCOMPLETE, "critical", FULL, _cut_to("trainer_state.json", 0.5)),
    Fault("best checkpoint gone", INCOMPLETE, "critical", ("sft-best", 18), _without_best),
    Fault("one NaN", UNSOUND, "critical", FULL, _value(float("nan"))),
    Fault("one infinity in bfloat16", UNSOUND, "critical", BF16, _value(float("inf"))),
    Fault("weights of the previous step", "weights-unchanged", "critical", FULL, _unchanged),
    Fault("lora_B all zeros", "lora-dead", "warning", LORA, _zero_lora),
    Fault("adapter without tensors", "lora-dead", "warning", LORA, _empty_adapter),
    Fault("one layer runs away", DRIFT, "info", FULL, _runaway_layer),
    Fault("another dtype", DRIFT, "info", FULL, _retyped),
    Fault("token without a row", VOCABULARY, "warning", FULL, _more_tokens),
    Fault("vocab_size of another model", VOCABULARY, "warning", FULL, _config(vocab_size=512)),
    Fault("head missing though not tied", VOCABULARY, "warning", FULL, _config(tie_word_embeddings=False)),
    Fault(
        "parameter without optimizer state", OPTIMIZER, "warning", FULL, _state(lambda state: state.pop(3))
    ),
    Fault("NaN in the optimizer", OPTIMIZER, "warning", FULL, _state(_nan_moment)),
    Fault(
        "unequal step counters", OPTIMIZER, "warning", FULL, _state(lambda state: state[1]["step"].fill_(4))
    ),
    Fault("schedule restarted", OPTIMIZER, "warning", ("grpo", 18), _schedule_anew),
    Fault("no base model named", CONFIG, "warning", LORA, _adapter(base_model_name_or_path=None)),
    Fault("rank of another adapter", CONFIG, "warning", LORA, _adapter(r=16)),
    Fault("target modules of another model", CONFIG, "warning", LORA, _adapter(target_modules=["c_attn"])),
]
"""Faults by what was done; docs/checkpoints.md lists them."""

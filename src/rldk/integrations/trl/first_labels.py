"""The labels of the first sequences of a training on given data: whether an end token is among them.

Invariant: the order of the data and the random states are untouched. The rows are read by their index, and
only collators that are known to draw no random number and to keep no state are called, on the CPU.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from rldk.integrations.trl.trainer_info import algorithm
from rldk.recording.completion_stats import Ends
from rldk.schema.training_start import FirstLabels

__all__ = ["ALGORITHMS", "ROWS", "count_labels"]

ALGORITHMS = frozenset({"sft", "dpo", "kto"})
ROWS = 8
"""Rows that are read: pairs of neighbours, spaced evenly over the data, so that each of a few sources, joined
or interleaved, is among them."""
COLLATORS = {
    "trl": {
        "DataCollatorForLanguageModeling",
        "DataCollatorForPreference",
        "DataCollatorForUnpairedPreference",
        "DPODataCollatorWithPadding",
    },
    "transformers": {
        "DataCollatorForLanguageModeling",
        "DataCollatorForSeq2Seq",
        "DataCollatorWithFlattening",
        "DefaultDataCollator",
    },
}
"""Collators that always make the same of the same rows, by package."""
MASKED = -100


def count_labels(args: Any, hooked: Mapping[str, Any], ends: Ends) -> FirstLabels | None:
    """Count the labels of the first rows; None where they cannot be read without a trace.

    Args:
        args: the trainer's arguments.
        hooked: what the trainer hands to every hook.
        ends: the end tokens.
    """
    loader = hooked.get("train_dataloader")
    data: Any = getattr(loader, "dataset", None)
    collate: Any = getattr(loader, "collate_fn", None)
    if algorithm(args) not in ALGORITHMS or not ends.known or not _is_plain(data) or not _is_known(collate):
        return None
    lengths, whole = [], []
    for index in _chosen(len(data)):
        row = data[index]
        batch = collate([row])
        length, labels = _length(batch), _labels(batch)
        lengths.append(length)
        if not _is_cut(args, row, length, len(labels)):
            whole.append(labels)
    counted = [label for labels in whole for label in labels]
    ended = sum(label in ends.known for label in counted)
    if not ended and len(set(lengths)) == 1:
        return None  # perhaps chunks of one size, which end anywhere
    return FirstLabels(sequences=len(whole), counted=len(counted), ends=ended)


def _chosen(rows: int) -> list[int]:
    """The indices of the rows that are read."""
    if rows <= ROWS:
        return list(range(rows))
    starts = [part * rows // (ROWS // 2) for part in range(ROWS // 2)]
    return [index for start in starts for index in (start, start + 1)]


def _is_plain(data: Any) -> bool:
    """Whether it is a table of `datasets` whose rows no function of the user's makes."""
    kind = type(data)
    if kind.__name__ != "Dataset" or not kind.__module__.startswith("datasets."):
        return False
    return bool(len(data)) and data.format["type"] != "custom"


def _is_known(collate: Any) -> bool:
    """Whether it is a collator that always makes the same of the same rows."""
    kind = type(collate)
    if kind.__name__ not in COLLATORS.get(kind.__module__.partition(".")[0], ()):
        return False
    return not getattr(collate, "mlm", False) and getattr(collate, "model", None) is None


def _length(batch: Mapping[str, Any]) -> int:
    """Tokens of one sequence, or of the prompt and the longer completion."""
    masks = {name: int(mask.sum()) for name, mask in batch.items() if name.endswith("attention_mask")}
    if "attention_mask" in masks:
        return int(batch["attention_mask"].sum(-1).max())
    if masks:
        return masks.pop("prompt_attention_mask", 0) + max(masks.values(), default=0)
    return int(batch["input_ids"].shape[-1])


def _labels(batch: Mapping[str, Any]) -> list[int]:
    """The labels of one collated sequence that count in the loss."""
    for name in ("labels", "completion_labels"):
        if name in batch:
            return [label for label in _flat(batch[name]) if label != MASKED]
    if "completion_mask" in batch:
        return _where(batch["input_ids"], batch["completion_mask"])
    sides = [name for name in ("chosen", "rejected") if f"{name}_input_ids" in batch]
    return [
        label
        for name in sides
        for label in _where(batch[f"{name}_input_ids"], batch[f"{name}_attention_mask"])
    ]


def _where(ids: Any, mask: Any) -> list[int]:
    return [one for one, counts in zip(_flat(ids), _flat(mask), strict=True) if counts]


def _flat(tensor: Any) -> Iterable[int]:
    return tensor.flatten().tolist()  # type: ignore[no-any-return]


def _is_cut(args: Any, row: Mapping[str, Any], length: int, labels: int) -> bool:
    """Whether a length limit may have cut the end off; a packed row of several documents holds one's end."""
    if len(row.get("seq_lengths") or ()) > 1:
        return False
    limits = ((length, "max_length"), (labels, "max_completion_length"))
    return any(isinstance(limit := getattr(args, name, None), int) and size >= limit for size, name in limits)

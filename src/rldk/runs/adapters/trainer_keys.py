"""Turns a tracker's tags into phases and the keys that a trainer of transformers logged.

Invariant: a tag gives the same key and phase in every tracker.
"""

from collections.abc import Mapping
from typing import Any

from rldk.schema.event import Phase

__all__ = ["GLOBAL_STEP", "SUMMARY_KEYS", "by_phase", "trainer_key"]

GLOBAL_STEP = "train/global_step"
"""The key of the optimizer step; W&B and trackio also count their own calls."""

SUMMARY_KEYS = (
    *("train_runtime", "train_samples_per_second", "train_steps_per_second", "train_tokens_per_second"),
    *("train_loss", "total_flos"),
)
"""The keys of the trainer's closing summary."""
_EVALS = {"eval/": "eval_", "test/": "test_"}


def trainer_key(tag: str) -> tuple[str, Phase | None]:
    """The key that a trainer of transformers logged, and its phase, by the tag of its callback.

    The phase is None for a key that the trainer logs in every phase.
    """
    for prefix, own in _EVALS.items():
        if tag.startswith(prefix):
            return own + tag.removeprefix(prefix), "eval"
    key = tag.removeprefix("train/")
    if key in ("epoch", "num_input_tokens_seen"):
        return key, None
    return key, "summary" if key in SUMMARY_KEYS else "train"


def by_phase(
    values: Mapping[str, Any], lone_epoch: Phase
) -> tuple[dict[Phase | None, dict[str, Any]], dict[str, Any]]:
    """The trainer's values by phase, under the trainer's keys, and all other values.

    The epoch belongs to the rest of its record. If it is alone, the callback logged the rest of the trainer's
    closing summary elsewhere.
    """
    parts: dict[Phase | None, dict[str, Any]] = {}
    others: dict[str, Any] = {}
    for tag, value in values.items():
        key, phase = trainer_key(tag)
        if tag.startswith(("train/", "eval/", "test/")) or phase != "train":
            parts.setdefault(phase, {})[key] = value
        else:
            others[key] = value
    if epoch := parts.pop(None, None):
        if not parts and others:
            others.update(epoch)
        else:
            parts.setdefault(next(reversed(parts), lone_epoch), {}).update(epoch)
    return parts, others

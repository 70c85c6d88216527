"""Owns the keys of LLaMA-Factory's `trainer_log.jsonl`; two keys of one log never share a name.

Read from the sources of LLaMA-Factory 0.9.5. Only that file has its own keys: the `trainer_state.json` in the
same folder has the Trainer's keys, which the `trl` dialect knows. `accuracy` is the `rewards/accuracies` of
DPO, and `reward` the reward of PPO.
"""

from collections.abc import Mapping

from rldk.metrics.dialects import Dialect, first_reading

__all__ = ["LLAMA_FACTORY"]

Names = Mapping[str, str]

_TRAINER: Names = {
    "loss": "loss",
    "lr": "lr",
    "epoch": "epoch",
    "predict_loss": "predict_loss",
    "current_steps": "steps_done",
    "total_steps": "steps_planned",
    "percentage": "progress_percent",
    "throughput": "tokens_per_second_so_far",
    "total_tokens": "num_input_tokens_seen",
    "vram_allocated": "memory_allocated_peak",
    "vram_reserved": "memory_reserved_peak",
}
_TABLES: dict[str, Names] = {
    "dpo": {**_TRAINER, "accuracy": "rewards_accuracies"},
    "ppo": {**_TRAINER, "reward": "reward_mean"},
    "trainer": _TRAINER,
}

LLAMA_FACTORY = Dialect(
    name="llama-factory",
    names=first_reading(_TABLES.values()),
    by_algorithm=_TABLES,
    title="LLaMA-Factory",
    version="0.9.5",
)
"""LLaMA-Factory."""

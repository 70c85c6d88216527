"""Owns the metric keys of GRPO in TRL before 0.17, for old logs: rldk reads them and never records them."""

from rldk.metrics.dialects import COMMON, Dialect
from rldk.metrics.dialects.trl import TRL

__all__ = ["TRL_EARLY"]

_TRAINER = TRL.by_algorithm[COMMON]
_GRPO = {
    **_TRAINER,
    "num_tokens": "num_tokens",
    "reward": "reward_mean",
    "reward_std": "reward_std",
    "rewards/{function}": "rewards/{function}/mean",
    "completion_length": "completion_length_mean",
    "kl": "kl_mean",
    "clip_ratio": "clip_frac",
}

TRL_EARLY = Dialect(
    name="trl-early",
    names=_GRPO,
    by_algorithm={"grpo": _GRPO, COMMON: _TRAINER},
    title="TRL < 0.17",
)
"""GRPO of TRL before 0.17."""

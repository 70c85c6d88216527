"""The checkpoint family: whether a save is whole, and what training changed in it."""

from rldk.health.rule import Rule
from rldk.health.rules.checkpoint.adapter_config import AdapterConfig
from rldk.health.rules.checkpoint.checkpoint_incomplete import CheckpointIncomplete
from rldk.health.rules.checkpoint.checkpoint_non_finite import CheckpointNonFinite
from rldk.health.rules.checkpoint.lora_dead import LoraDead
from rldk.health.rules.checkpoint.lora_rank import LoraRank
from rldk.health.rules.checkpoint.optimizer_state import OptimizerState
from rldk.health.rules.checkpoint.vocabulary_mismatch import VocabularyMismatch
from rldk.health.rules.checkpoint.weight_drift import WeightDrift
from rldk.health.rules.checkpoint.weights_unchanged import WeightsUnchanged

__all__ = ["RULES"]

RULES: tuple[type[Rule], ...] = (
    CheckpointIncomplete,
    CheckpointNonFinite,
    WeightsUnchanged,
    LoraDead,
    WeightDrift,
    LoraRank,
    VocabularyMismatch,
    OptimizerState,
    AdapterConfig,
)
"""The rules of the family, by code."""

"""The generation family: whether completions end, differ, and come from the policy that is trained."""

from rldk.health.rule import Rule
from rldk.health.rules.generation.duplicate_completions import DuplicateCompletions
from rldk.health.rules.generation.eos_mismatch import EOSMismatch
from rldk.health.rules.generation.importance_starvation import ImportanceStarvation
from rldk.health.rules.generation.length_collapse import LengthCollapse
from rldk.health.rules.generation.length_runaway import LengthRunaway
from rldk.health.rules.generation.missing_eos import MissingEOS
from rldk.health.rules.generation.repetition import Repetition
from rldk.health.rules.generation.sampling_mismatch import SamplingMismatch
from rldk.health.rules.generation.stale_rollout import StaleRollout
from rldk.health.rules.generation.truncation import Truncation

__all__ = ["RULES"]

RULES: tuple[type[Rule], ...] = (
    Truncation,
    EOSMismatch,
    LengthRunaway,
    LengthCollapse,
    SamplingMismatch,
    ImportanceStarvation,
    StaleRollout,
    MissingEOS,
    DuplicateCompletions,
    Repetition,
)
"""The rules of the family, by code."""

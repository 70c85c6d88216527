"""The policy family: how far the policy moves, what it explores, and what must agree with it."""

from rldk.health.rule import Rule
from rldk.health.rules.policy.bad_critic import BadCritic
from rldk.health.rules.policy.broken_start import BrokenStart
from rldk.health.rules.policy.entropy_collapse import EntropyCollapse
from rldk.health.rules.policy.entropy_explosion import EntropyExplosion
from rldk.health.rules.policy.frozen_policy import FrozenPolicy
from rldk.health.rules.policy.kl_blowup import KLBlowup
from rldk.health.rules.policy.negative_kl import NegativeKL
from rldk.health.rules.policy.off_policy import OffPolicy
from rldk.health.rules.policy.reference_mismatch import ReferenceMismatch

__all__ = ["RULES"]

RULES: tuple[type[Rule], ...] = (
    KLBlowup,
    NegativeKL,
    FrozenPolicy,
    OffPolicy,
    EntropyCollapse,
    EntropyExplosion,
    BrokenStart,
    BadCritic,
    ReferenceMismatch,
)
"""The rules of the family, by code."""

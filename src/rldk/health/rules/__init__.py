"""The rules, a module a family; their names and codes are public.

Invariant: every rule stands in `RULES` once, in the order of its code.
"""

from rldk.health.rule import Rule
from rldk.health.rules import generation, optimization, policy, preference, reward, setup, system

__all__ = ["RULES"]

RULES: tuple[type[Rule], ...] = (
    *setup.RULES,
    *optimization.RULES,
    *policy.RULES,
    *reward.RULES,
    *generation.RULES,
    *preference.RULES,
    *system.RULES,
)
"""Every rule, in the order of its code."""

"""The rules, a module a subject; their names and codes are public.

Invariant: every rule stands in `RULES` once, by family and code.
"""

from rldk.health.rule import Rule
from rldk.health.rules import (
    checkpoint,
    collapse,
    generation,
    hacking,
    optimization,
    policy,
    preference,
    reward,
    reward_functions,
    setup,
    system,
)

__all__ = ["FAMILIES", "RULES"]

FAMILIES = ("SET", "OPT", "POL", "REW", "GEN", "PRF", "SYS", "CKP")
"""What codes begin with: setup, optimization, policy, reward, generation, preference, system, checkpoint."""
_MODULES = (
    setup,
    optimization,
    policy,
    reward,
    collapse,
    reward_functions,
    hacking,
    generation,
    preference,
    system,
    checkpoint,
)

RULES: tuple[type[Rule], ...] = tuple(
    sorted(
        (rule for module in _MODULES for rule in module.RULES),
        key=lambda rule: (FAMILIES.index(rule.code[:3]), rule.code),
    )
)
"""Every rule, by family and code."""

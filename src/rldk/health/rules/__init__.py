"""The rules, one a file in the folder of its family; their names and codes are public.

Invariant: `RULES` holds every rule once, by family and code.
"""

from rldk.health.rule import Rule
from rldk.health.rules import checkpoint, generation, optimization, policy, preference, reward, setup, system

__all__ = ["FAMILIES", "RULES"]

FAMILIES = ("SET", "OPT", "POL", "REW", "GEN", "PRF", "SYS", "CKP")
"""What codes begin with: setup, optimization, policy, reward, generation, preference, system, checkpoint."""
_PACKAGES = (setup, optimization, policy, reward, generation, preference, system, checkpoint)

RULES: tuple[type[Rule], ...] = tuple(
    sorted(
        (rule for package in _PACKAGES for rule in package.RULES),
        key=lambda rule: (FAMILIES.index(rule.code[:3]), rule.code),
    )
)
"""Every rule, by family and code."""

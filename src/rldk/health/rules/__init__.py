"""The rules, one a file in the folder of its family; their names and codes are public.

Invariant: `RULES` holds every rule once, by family and code.
"""

from collections.abc import Iterator

from rldk._modules import modules_of
from rldk.health.rule import Rule

__all__ = ["FAMILIES", "RULES"]

FAMILIES = ("SET", "OPT", "POL", "REW", "GEN", "PRF", "SYS", "CKP")
"""What codes begin with: setup, optimization, policy, reward, generation, preference, system, checkpoint."""
_PACKAGES = ("setup", "optimization", "policy", "reward", "generation", "preference", "system", "checkpoint")


def _rules() -> Iterator[type[Rule]]:
    """The rule of each module, as `kl-blowup` of `kl_blowup.py`; modules without one are shared by others."""
    for package in _PACKAGES:
        for name, module in modules_of(f"rldk.health.rules.{package}"):
            for member in vars(module).values():
                if isinstance(member, type) and getattr(member, "name", None) == name.replace("_", "-"):
                    yield member


RULES: tuple[type[Rule], ...] = tuple(
    sorted(_rules(), key=lambda rule: (FAMILIES.index(rule.code[:3]), rule.code))
)
"""Every rule, by family and code."""

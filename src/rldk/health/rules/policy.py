"""Rules of the policy family."""

from rldk.health.rule import Rule

__all__ = ["RULES"]

RULES: tuple[type[Rule], ...] = ()

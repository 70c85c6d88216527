"""Rules of the optimization family."""

from rldk.health.rule import Rule

__all__ = ["RULES"]

RULES: tuple[type[Rule], ...] = ()

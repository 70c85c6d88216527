"""Rules of a package of its own; `pyproject.toml` registers `RULES` with rldk."""

from rldk_example_rules.low_reward import LowReward

__all__ = ["RULES"]

RULES = (LowReward,)

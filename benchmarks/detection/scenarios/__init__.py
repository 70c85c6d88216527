"""The table of the detection set: which training, which fault, what its series show, what it is to be called.

The one source of `labels.json`. Invariant: a label says what the series show, not what was meant to be
shown: `shows` was written with the recorded numbers in view, and a fault that the toy survives is labelled as
the healthy run that it is.
"""

from recipes import Recipe

from scenarios import dpo, grpo, rloo, sft
from scenarios.row import Scenario

__all__ = ["SCENARIOS", "SEEDS", "Scenario", "by_name", "same_as"]

SEEDS = (1, 2)

SCENARIOS: list[Scenario] = [
    *(*grpo.CLEAN, *rloo.CLEAN, *dpo.CLEAN, *sft.CLEAN),
    *(*grpo.FAULTS, *dpo.FAULTS, *sft.FAULTS, *rloo.FAULTS),
]
"""In the order in which they are trained."""


def by_name(name: str) -> Scenario:
    """The scenario of that name."""
    return next(scenario for scenario in SCENARIOS if scenario.name == name)


def same_as(recipe: Recipe) -> Scenario | None:
    """The scenario that trains by that recipe: a remedy often makes a clean run again."""
    return next((scenario for scenario in SCENARIOS if scenario.recipe == recipe), None)

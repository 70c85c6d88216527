"""What one row of the table of trainings says, and the words that rows share."""

from dataclasses import dataclass, replace
from typing import Literal

from recipes import Recipe


@dataclass(frozen=True)
class Scenario:
    """One row of the table."""

    name: str
    recipe: Recipe
    fault: str
    """What was done to the training; empty for a clean one."""
    shows: str
    """What the series show, in numbers."""
    expected: frozenset[str] = frozenset()
    """Rules any of which, at `level` or above, names the right cause; none: to stay silent is right."""
    also_true: frozenset[str] = frozenset()
    """Rules that speak of true consequences: neither the cause nor a false alarm."""
    level: Literal["info", "warning"] = "warning"
    onset: Literal["start", "half", "resume", "second evaluation"] = "start"
    abrupt: bool = False
    """Whether it is there at once and in full, so that an alarm is due within ten records."""
    clean: str = ""
    """The scenario that differs in the fault alone."""
    remedy: str = ""
    """The first remedy, as the doctor should give it."""
    cured: Recipe | None = None
    """The training with the remedy; often the clean sibling's own recipe."""
    cured_shows: str = ""
    """What the series of a training with the remedy show, where no other scenario is it."""
    no_remedy: str = ""
    """Why the toy shows none."""
    truth: str | None = None
    """The metric that is the truth behind the reward: `truth_metric`."""
    seldom: bool = True
    """Whether it is also trained with `logging_steps=10`."""
    hidden: str = ""
    """What `logging_steps=10` hides: there an alarm of `expected` is true, but not due."""
    blurred: frozenset[str] = frozenset()
    """With `logging_steps=10` also right, besides `expected`: the first record is ill already."""

    def onset_step(self, recipe: Recipe) -> int:
        """The first step whose record can show the fault."""
        if self.onset == "second evaluation":
            return 2 * int(recipe.settings["eval_steps"])
        if self.onset == "resume":
            saved = int(recipe.settings["save_steps"])
            return recipe.half // saved * saved + 1
        return recipe.half + 1 if self.onset == "half" else 1


def at_rate(recipe: Recipe, factor: float) -> Recipe:
    """The same training with `factor` times its learning rate."""
    rate = recipe.settings["learning_rate"]
    return replace(recipe, config={**recipe.config, "learning_rate": rate * factor})

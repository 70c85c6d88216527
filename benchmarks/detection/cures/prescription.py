"""Applies a remedy's sentence to a recipe, as a machine that takes it at its word.

An option is set to the value that the sentence states. What the sentence asks to look at is repaired where it
is what it should not be, and left alone where it is sound: a remedy that looks at the wrong place changes
nothing. Invariant: no repair knows what is wrong with the run; each looks at one place only.
"""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from recipes import Recipe
from tasks import TASKS
from wide.rewards import reward
from wide.row import Row

from cures.patient import Patient, breaks_of, changed

__all__ = ["applied"]

NEW = re.compile(r"`(\w+)` \(now [^,()]*, try ([-\d.e+]+)\)")
SET = re.compile(r"set `(\w+)` to ([-\d.e+]+)")
EQUAL = re.compile(r"set `(\w+)=([^`]+)`")
PROMPTS = 64
"""Prompts on which a reward function is tried."""
Repair = Callable[[Patient], Row | Recipe]


def applied(patient: Patient, remedy: str) -> Row | Recipe | None:
    """The recipe with the remedy; the same recipe, if it finds nothing to mend; None if no machine can."""
    for pattern in (NEW, SET):
        if found := pattern.search(remedy):
            return changed(patient.recipe, **{found[1]: _number(found[2])})
    if found := EQUAL.search(remedy):
        value = {"True": True, "False": False}.get(found[2], found[2].strip("'"))
        return changed(patient.recipe, **{found[1]: value})
    for words, repair in REPAIRS.items():
        if words in remedy:
            return repair(patient)
    return None


def _number(text: str) -> float | int:
    value = float(text)
    return int(value) if value.is_integer() and value >= 1 else value


def _without(*names: str) -> Repair:
    """Takes out what breaks the training from within, if it is one of these."""

    def repair(patient: Patient) -> Row | Recipe:
        recipe = patient.recipe
        kept = tuple(name for name in breaks_of(recipe) if name.partition("@")[0] not in names)
        return replace(recipe, **{"breaks" if isinstance(recipe, Row) else "sabotage": kept})

    return repair


def _data(*names: str) -> Repair:
    """Takes out what is wrong with the data, if it is one of these."""

    def repair(patient: Patient) -> Row | Recipe:
        recipe = patient.recipe
        return replace(recipe, data={key: value for key, value in recipe.data.items() if key not in names})

    return repair


def _scores(patient: Patient, name: str, texts: list[str], prompts: list[str], done: float) -> list[Any]:
    """What a reward function of the wide set gives when a share `done` of the training is over."""
    row = patient.recipe
    steps = 1000
    state = SimpleNamespace(global_step=int(done * (steps - 1)))
    return reward(TASKS[row.task], name, steps)(prompts=prompts, completions=texts, trainer_state=state)  # type: ignore[union-attr]


def _tried(patient: Patient, name: str, done: float) -> tuple[float, float]:
    """The mean score of gold answers, and of garbage; None counts as 0."""
    task, chance = TASKS[patient.recipe.task], random.Random(0)  # type: ignore[union-attr]
    prompts = task.held_out(PROMPTS)
    gold = [task.answer(prompt) for prompt in prompts]
    garbage = [" ".join(chance.choices(task.words, k=len(text.split()))) for text in gold]
    means = [
        sum(score or 0.0 for score in _scores(patient, name, texts, prompts, done)) / PROMPTS
        for texts in (gold, garbage)
    ]
    return means[0], means[1]


def _is_sound(patient: Patient, name: str, done: float = 0.0) -> bool:
    """Whether a function pays gold answers more than garbage, by a quarter of the larger."""
    gold, garbage = _tried(patient, name, done)
    return gold - garbage >= 0.25 * max(abs(gold), abs(garbage), 1e-9)


def _check_reward(patient: Patient) -> Row | Recipe:
    """A function that does not pay gold answers more is replaced; else its texts lose stray tokens."""
    recipe = patient.recipe
    if not isinstance(recipe, Row):
        return replace(recipe, rewards=patient.healthy.rewards)
    if not all(_is_sound(patient, name) for name in recipe.rewards):
        return _right_reward(recipe)
    return replace(recipe, eos="<eos>")


def _compare_reward(patient: Patient) -> Row | Recipe:
    """A function, or prompts, that are others at the end than at the beginning are as at the beginning."""
    recipe = patient.recipe
    if not isinstance(recipe, Row):
        return recipe
    before, after = ([_tried(patient, name, done) for name in recipe.rewards] for done in (0.0, 1.0))
    if before != after:
        return replace(
            recipe,
            rewards=tuple(re.sub(r"^(dead|lenient|blind|turned|gone)@", "", n) for n in recipe.rewards),
        )
    return replace(recipe, data={key: value for key, value in recipe.data.items() if key != "levels"})


def _close_loophole(patient: Patient) -> Row | Recipe:
    """Where something else than the right answer is paid, the right answer is paid."""
    recipe = patient.recipe
    if not isinstance(recipe, Row):
        return recipe
    return recipe if recipe.rewards == ("exact",) else _right_reward(recipe)


def _right_reward(row: Row) -> Row:
    config = {key: value for key, value in row.config.items() if key != "reward_weights"}
    return replace(row, rewards=("exact",), config=config)


def _same_start(patient: Patient) -> Row | Recipe:
    """The second start has the configuration of the first."""
    return replace(patient.recipe, resume={} if patient.recipe.resume is not None else None)


REPAIRS: dict[str, Repair] = {
    "swap the columns of the wrong one": _data("swapped"),
    "drop those whose sides are the same": _data("identical"),
    "label anew what was labelled at random": _data("wrong"),
    "train on more rows": _data("rows"),
    "look at the batches of the onset": _data("foreign"),
    "run the reward function on gold answers": _check_reward,
    "compare prompts and reward function before and after": _compare_reward,
    "close the loophole in the reward": _close_loophole,
    "return a number for every row": _compare_reward,
    "print the trainable parameters": _without("half_adapter", "only_norm", "detached"),
    "decode the labels of one batch": _without("masked_labels", "masked_eos"),
    "check `lr_scheduler_type` and what sets the rate": _without("spike"),
    "compare the arguments of the two attempts": _same_start,
}
"""What a sentence asks to look at, by words of it, and what is repaired there."""

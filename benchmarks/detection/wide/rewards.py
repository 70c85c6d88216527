"""The reward functions of the wide set, of any task: its checks, scaled, made noisy, broken.

Invariant: what a function does at random follows from the step and the completion's place in the batch.
"""

import random
from collections.abc import Callable
from typing import Any

from tasks import Task

Reward = Callable[..., list[float | None]]


def reward(task: Task, name: str, steps: int) -> Reward:
    """The function that a row names: `exact`, `scaled@share,0,100`; `steps` is the training's length."""
    kind, _, arguments = name.partition("@")
    if kind in MADE:
        base, *numbers = arguments.split(",")
        made = MADE[kind](plain(task, base), steps, *map(float, numbers))
    else:
        made = plain(task, name)
    made.__name__ = name.partition(",")[0].replace("@", "_")
    return made


def plain(task: Task, name: str) -> Reward:
    """A check of the task, or what pays for something else than the task."""
    if name in ELSE:
        return _per_words(ELSE[name], task)
    check = {"exact": task.exact, "share": task.share, **task.checks}[name]

    def scores(prompts: list[str], completions: list[str], **_: Any) -> list[float | None]:
        return [check(prompt, text.split()) for prompt, text in zip(prompts, completions, strict=True)]

    return scores


def _per_words(worth: Callable[[list[str], Task], float], task: Task) -> Reward:
    def scores(completions: list[str], **_: Any) -> list[float | None]:
        return [worth(text.split(), task) for text in completions]

    return scores


def _changed(change: Callable[[float, random.Random, float], float | None]) -> Callable[..., Reward]:
    """A reward whose scores are changed one by one; `change` gets what share of the training is done."""

    def make(base: Reward, steps: int, *numbers: float) -> Reward:
        def scores(trainer_state: Any = None, **inputs: Any) -> list[float | None]:
            step = trainer_state.global_step
            chance = random.Random(step)
            plainly = base(**inputs)
            return [change(one or 0.0, chance, step / steps, *numbers) for one in plainly]

        return scores

    return make


def _from(at: float, then: Callable[[float, random.Random], float | None]) -> Any:
    return lambda one, chance, done, share=at, *_: one if done < share else then(one, chance)


MADE: dict[str, Callable[..., Reward]] = {
    "scaled": _changed(lambda one, _, __, low, high: low + (high - low) * one),
    "noisy": _changed(lambda one, chance, _, sd: one + chance.gauss(0, sd)),
    "flipped": _changed(lambda one, chance, _, share: 1 - one if chance.random() < share else one),
    "constant": _changed(lambda *_: 0.25),
    "random": _changed(lambda _, chance, __: float(chance.random() < 0.4)),
    "dead": _changed(_from(0.5, lambda *_: 0.0)),
    "lenient": _changed(_from(0.5, lambda *_: 1.0)),
    "blind": _changed(_from(0.5, lambda _, chance: chance.random())),
    "turned": _changed(_from(0.5, lambda one, _: 1 - one)),
    "gone": _changed(_from(0.5, lambda *_: None)),
}
"""By name: gets what is made of it, the training's length and numbers."""

ELSE: dict[str, Callable[[list[str], Task], float]] = {
    "length": lambda words, task: len(words) / task.limit,
    "brevity": lambda words, task: 1 - len(words) / task.limit,
    "marks": lambda words, task: sum(word.startswith("<") for word in words) / task.limit,
    "digits": lambda words, task: sum(word.isdigit() for word in words) / task.limit,
    "never": lambda *_: 0.0,
}
"""What pays for something else than the task."""

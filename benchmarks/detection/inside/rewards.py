"""The reward functions of these trainings: those of the toy, and what can be wrong with one.

Invariant: what a function does at random follows from the step and the completion's place in the batch.
"""

import math
import random
import time
from collections.abc import Callable
from typing import Any
from zlib import crc32

import faults
import toys

Reward = Callable[..., Any]


def patchy(kind: str) -> Reward:
    """Three in ten completions get nothing."""
    nothing = None if kind == "none" else math.nan

    def colours(completions: list[str], trainer_state: Any = None, **_: Any) -> list[float | None]:
        chance = random.Random(trainer_state.global_step)
        return [nothing if chance.random() < 0.3 else score for score in toys.colours(completions)]

    return colours


def deaf(name: str) -> Reward:
    """What the toy's function says, but for a third of the prompts."""
    return _only(name, lambda kind: kind != 0, kinds=3)


def task(kind: str) -> Reward:
    """A function of one of two tasks, which scores the prompts of its own task alone."""
    made = _only("colours", lambda one: one == int(kind), kinds=2)
    made.__name__ = f"task_{kind}"
    return made


def _only(name: str, knows: Callable[[int], bool], kinds: int) -> Reward:
    score = getattr(toys, name)

    def some(prompts: list[str], completions: list[str], **_: Any) -> list[float | None]:
        known = [knows(crc32(prompt.encode()) % kinds) for prompt in prompts]
        return [one if told else None for one, told in zip(score(completions), known, strict=True)]

    some.__name__ = name
    return some


def at(step: str, action: Callable[[list[float]], Any]) -> Reward:
    """The toy's reward, to which something is done at one step."""

    def colours(completions: list[str], trainer_state: Any = None, **_: Any) -> Any:
        scores = toys.colours(completions)
        return action(scores) if trainer_state.global_step == int(step) else scores

    return colours


def _raise(scores: list[float]) -> None:
    raise ValueError(f"no answer from the judge of {len(scores)} completions")


def _slow_once(arguments: str) -> Reward:
    step, seconds = arguments.split(",")

    def wait(scores: list[float]) -> list[float]:
        time.sleep(float(seconds))
        return scores

    return at(step, wait)


def _slow(seconds: str) -> Reward:
    def colours(completions: list[str], **_: Any) -> list[float]:
        time.sleep(float(seconds))
        return toys.colours(completions)

    return colours


def repeats(completions: list[str], **_: Any) -> list[float]:
    """One word, the more often the better."""
    return [text.split().count("red") / 20 for text in completions]


def brief(completions: list[str], **_: Any) -> list[float]:
    """A correct sentence, the shorter the better."""
    right = toys.correct(completions)
    return [good * 3 / max(len(text.split()), 3) for good, text in zip(right, completions, strict=True)]


def chatty(completions: list[list[dict[str, str]]], **_: Any) -> list[float]:
    """The toy's reward, of messages."""
    return toys.colours([messages[0]["content"] for messages in completions])


async def awaited(completions: list[str], **_: Any) -> list[float]:
    """The toy's reward, as a coroutine."""
    return toys.colours(completions)


REWARDS: dict[str, Callable[[str], Reward]] = {
    "patchy": patchy,
    "deaf": deaf,
    "task": task,
    "infinite": lambda every: faults.REWARDS["infinite"](int(every)),
    "raises": lambda step: at(step, _raise),
    "short": lambda step: at(step, lambda scores: scores[:-1]),
    "slow": _slow,
    "slow_once": _slow_once,
}
PLAIN: dict[str, Reward] = {one.__name__: one for one in (repeats, brief, chatty, awaited)}


def reward(name: str) -> Reward:
    """The reward function of a row: `colours`, `patchy@nan`."""
    kind, _, argument = name.partition("@")
    if kind in REWARDS:
        return REWARDS[kind](argument)
    found: Reward = PLAIN.get(name) or getattr(toys, name)
    return found

"""Letters written backwards: `turn b a d g >` is `g d a b`."""

import random

from tasks.task import Task

LETTERS = tuple("abcdefgh")


def prompt(chance: random.Random, level: str) -> str:
    """As many letters as the level says."""
    return " ".join(["turn", *chance.choices(LETTERS, k=int(level)), ">"])


def answer(asked: str) -> str:
    """The letters, the last first."""
    return " ".join(reversed(asked.split()[1:-1]))


def spoil(chance: random.Random, words: list[str]) -> list[str]:
    """Two neighbours change places, or one letter is lost."""
    at = chance.randrange(len(words) - 1)
    if chance.random() < 0.3:
        return words[:at] + words[at + 1 :]
    return [*words[:at], words[at + 1], words[at], *words[at + 2 :]]


def as_long(asked: str, words: list[str]) -> float:
    """Whether there are as many letters as were given."""
    return float(len(words) == len(asked.split()) - 2)


TASK = Task(
    "letters", (*LETTERS, "turn", ">"), ("3", "4", "5", "6"), prompt, answer, spoil, {"as_long": as_long}, 10
)

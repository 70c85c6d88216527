"""Sums of two numbers, digit by digit, written from the ones up: `4 7 + 8 5 =` is `2 3 1`."""

import random

from tasks.task import Task

DIGITS = tuple("0123456789")
LEVELS = {"one digit": 10, "two digits": 100}


def prompt(chance: random.Random, level: str) -> str:
    """Two numbers of a level."""
    numbers = [chance.randrange(LEVELS[level]) for _ in range(2)]
    return f"{' '.join(str(numbers[0]))} + {' '.join(str(numbers[1]))} ="


def answer(asked: str) -> str:
    """The digits of the sum, the last first."""
    one, other = asked.rstrip("= ").split("+")
    total = int(one.replace(" ", "")) + int(other.replace(" ", ""))
    return " ".join(reversed(str(total)))


def spoil(chance: random.Random, words: list[str]) -> list[str]:
    """One digit is another, as by a carry that was forgotten."""
    at = chance.randrange(len(words))
    return [*words[:at], str((int(words[at]) + chance.choice((1, 9))) % 10), *words[at + 1 :]]


def ones(asked: str, words: list[str]) -> float:
    """Whether the first digit is right: the part that needs no carry."""
    return float(words[:1] == answer(asked).split()[:1])


TASK = Task("sums", (*DIGITS, "+", "="), tuple(LEVELS), prompt, answer, spoil, {"ones": ones}, 8)

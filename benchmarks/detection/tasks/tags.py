"""Thoughts and an answer in tags: `sort 7 2 5 :` is `<think> 2 5 7 </think> <answer> 5 </answer>`.

The thought is the digits in order, the answer the one in the middle.
"""

import random

from tasks.task import Task

DIGITS = tuple("0123456789")
TAGS = ("<think>", "</think>", "<answer>", "</answer>")


def prompt(chance: random.Random, level: str) -> str:
    """As many digits as the level says."""
    return " ".join(["sort", *chance.choices(DIGITS, k=int(level)), ":"])


def answer(asked: str) -> str:
    """The digits in order, then the one in the middle."""
    ordered = sorted(asked.split()[1:-1])
    return f"<think> {' '.join(ordered)} </think> <answer> {ordered[len(ordered) // 2]} </answer>"


def spoil(chance: random.Random, words: list[str]) -> list[str]:
    """The answer is another digit, or a tag is missing."""
    if chance.random() < 0.3:
        at = words.index(chance.choice(TAGS))
        return words[:at] + words[at + 1 :]
    return [*words[:-2], chance.choice(DIGITS), words[-1]]


def form(_: str, words: list[str]) -> float:
    """Whether each tag stands once, in order, with one digit as the answer."""
    tags = tuple(word for word in words if word in TAGS)
    placed = words[:1] + words[-3:-2] + words[-1:] == ["<think>", "<answer>", "</answer>"]
    return float(tags == TAGS and placed)


def answered(asked: str, words: list[str]) -> float:
    """Whether the answer is right, whatever was thought."""
    return float("<answer>" in words and words[words.index("<answer>") :] == answer(asked).split()[-3:])


TASK = Task(
    "tags",
    (*DIGITS, *TAGS, "sort", ":"),
    ("3", "5"),
    prompt,
    answer,
    spoil,
    {"form": form, "answered": answered},
    18,
)

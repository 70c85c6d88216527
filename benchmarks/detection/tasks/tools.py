"""Calls of a tool and their results, in segments: `do 3 plus 4 times 2 ;` is two calls and what is said.

`<call> plus 3 4 </call> <result> 7 </result> <call> times 7 2 </call> <result> 4 </result> <say> 4`: numbers
are digits, results their last digit. The policy writes the results itself.
"""

import random

from tasks.task import Task

DIGITS = tuple("0123456789")
MARKS = ("<call>", "</call>", "<result>", "</result>", "<say>")
WORK = {"plus": int.__add__, "times": int.__mul__, "minus": int.__sub__}


def prompt(chance: random.Random, level: str) -> str:
    """As many operations as the level says."""
    words = ["do", chance.choice(DIGITS)]
    for _ in range(int(level)):
        words += [chance.choice(tuple(WORK)), chance.choice(DIGITS)]
    return " ".join([*words, ";"])


def answer(asked: str) -> str:
    """Each call with its result, then the last result."""
    _, value, *steps = asked.split()[:-1]
    words = []
    for name, other in zip(steps[::2], steps[1::2], strict=True):
        result = str(WORK[name](int(value), int(other)) % 10)
        words += ["<call>", name, value, other, "</call>", "<result>", result, "</result>"]
        value = result
    return " ".join([*words, "<say>", value])


def spoil(chance: random.Random, words: list[str]) -> list[str]:
    """Another digit is said, or a result is another, or a mark is missing."""
    if chance.random() < 0.3:
        at = words.index(chance.choice(MARKS))
        return words[:at] + words[at + 1 :]
    at = chance.choice([-1, words.index("<result>") + 1])
    return [*words[:at], chance.choice(DIGITS), *(words[at + 1 :] if at + 1 else [])]


def called(asked: str, words: list[str]) -> float:
    """Whether the first call is the right one and closed."""
    right = answer(asked).split()
    return float(words[:5] == right[:5])


def said(asked: str, words: list[str]) -> float:
    """Whether the last words say the right digit."""
    return float(words[-2:] == answer(asked).split()[-2:])


TASK = Task(
    "tools",
    (*DIGITS, *MARKS, *WORK, "do", ";"),
    ("1", "2"),
    prompt,
    answer,
    spoil,
    {"called": called, "said": said},
    28,
)

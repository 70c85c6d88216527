"""What a task is: prompts with one right answer each, an answer that is nearly right, rewards.

Words are separated by blanks, and each word is one token. Invariant: no prompt of `training` is one of
`held_out`, so that what is measured there was not learned by heart.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

Check = Callable[[str, list[str]], float]
"""What a completion, as words, is worth for a prompt: 0 to 1."""
HELD_OUT = 5
"""Of so many prompts one is held out."""


@dataclass(frozen=True)
class Task:
    """One task."""

    name: str
    words: tuple[str, ...]
    """All that prompts and answers are made of."""
    levels: tuple[str, ...]
    """How hard a prompt may be, the easy ones first."""
    prompt: Callable[[random.Random, str], str]
    """A prompt of a level."""
    answer: Callable[[str], str]
    """The right answer to a prompt."""
    spoil: Callable[[random.Random, list[str]], list[str]]
    """An answer that is nearly right, from the words of the right one."""
    checks: dict[str, Check]
    """Partial credit, by name; each is 1 for the right answer."""
    limit: int
    """Tokens that every right answer fits into, and half as many again."""

    def exact(self, prompt: str, words: list[str]) -> float:
        """Whether the completion is the right answer."""
        return float(" ".join(words) == self.answer(prompt))

    def share(self, prompt: str, words: list[str]) -> float:
        """The share of words that are right at their place, of the longer of both answers."""
        right = self.answer(prompt).split()
        return sum(map(str.__eq__, words, right)) / max(len(words), len(right))

    def training(self, chance: random.Random, level: str | None = None) -> str:
        """A prompt to learn from."""
        return self._drawn(chance, level, held_out=False)

    def held_out(self, count: int) -> list[str]:
        """Different prompts that are never trained on."""
        chance = random.Random(0)
        found: dict[str, None] = {}
        while len(found) < count:
            found[self._drawn(chance, None, held_out=True)] = None
        return list(found)

    def wrong(self, chance: random.Random, prompt: str) -> str:
        """An answer that is nearly right."""
        right = self.answer(prompt).split()
        while (spoiled := self.spoil(chance, right)) == right:
            pass
        return " ".join(spoiled)

    def _drawn(self, chance: random.Random, level: str | None, *, held_out: bool) -> str:
        while True:
            prompt = self.prompt(chance, level or chance.choice(self.levels))
            if (crc32(prompt.encode()) % HELD_OUT == 0) == held_out:
                return prompt

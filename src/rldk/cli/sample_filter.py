"""Which samples are wanted, and in which order they come.

Invariant: no more samples are held than are asked for, however many are looked at.
"""

from collections.abc import Callable, Iterable, Iterator
from heapq import nsmallest
from itertools import islice

from rldk.doctor.sample_evidence import SampleEvidence
from rldk.runs.message_text import completion_text, last_user_text
from rldk.runs.samples import Sample
from rldk.schema.event import Phase

__all__ = ["SORTS", "SampleFilter", "in_order"]

SORTS = ("step", "-step", "reward", "-reward", "length", "-length")
"""Orders; with a minus the highest comes first."""
MAX_FUNCTIONS = 1_000
"""Names of reward functions that are remembered."""


class SampleFilter:
    """Which samples are wanted.

    Args:
        steps: the first and the last step.
        phase: None for any.
        function: a reward function that they were shown to; None for any.
        text: what prompt or completion holds, in any case; None for anything.
    """

    def __init__(
        self, steps: tuple[float, float], phase: Phase | None, function: str | None, text: str | None
    ) -> None:
        self.checked = 0
        """How many it was shown."""
        self.taken = 0
        """How many of them are wanted."""
        self.functions: dict[str, None] = {}
        """The reward functions that scored them."""
        self._steps = steps
        self._phase = phase
        self._function = function
        self._text = text.casefold() if text else None

    def of(self, shown: Iterable[SampleEvidence]) -> Iterator[SampleEvidence]:
        """Those that are wanted."""
        for one in shown:
            self.checked += 1
            if len(self.functions) < MAX_FUNCTIONS:
                self.functions.update(dict.fromkeys(one.sample.rewards))
            if self._takes(one.sample):
                self.taken += 1
                yield one

    def _takes(self, sample: Sample) -> bool:
        first, last = self._steps
        return (
            first <= sample.step <= last
            and self._phase in (None, sample.phase)
            and (self._function is None or self._function in sample.rewards)
            and (self._text is None or self._text in _texts(sample).casefold())
        )


def in_order(
    shown: Iterable[SampleEvidence], by: str | None, function: str | None, limit: int | None
) -> Iterable[SampleEvidence]:
    """The first `limit` in order; no more than these are held, and none where the order is as recorded."""
    if by in (None, "step"):
        return islice(shown, limit) if limit is None else _first(shown, limit)
    key = _key(by, function)
    return sorted(shown, key=key) if limit is None else nsmallest(limit, shown, key)


def _first(shown: Iterable[SampleEvidence], limit: int) -> list[SampleEvidence]:
    """The first of them; the others are passed over, so that they are counted."""
    rest = iter(shown)
    first = list(islice(rest, limit))
    for _ in rest:
        pass
    return first


def _key(by: str, function: str | None) -> Callable[[SampleEvidence], tuple[bool, float]]:
    sign, name = (-1, by[1:]) if by.startswith("-") else (1, by)

    def value(sample: Sample) -> float | None:
        if name == "reward":
            return sample.score if function is None else sample.rewards.get(function)
        if name == "step":
            return sample.step
        return len(completion_text(sample.completion)) if sample.length is None else sample.length

    def key(shown: SampleEvidence) -> tuple[bool, float]:
        found = value(shown.sample)
        missing = found is None or found != found  # noqa: PLR0124 - NaN
        return missing, 0.0 if missing or found is None else sign * found

    return key


def _texts(sample: Sample) -> str:
    prompt = sample.prompt if isinstance(sample.prompt, str) else completion_text(sample.prompt)
    return f"{prompt}\n{last_user_text(sample.prompt)}\n{completion_text(sample.completion)}"

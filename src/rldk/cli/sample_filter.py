"""Filters samples, and puts them in order.

Invariant: memory holds at most as many samples as the user asked for.
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
"""Orders; with a minus, the highest value comes first."""
MAX_FUNCTIONS = 1_000
"""Most names of reward functions to remember."""


class SampleFilter:
    """Selects samples, and counts them.

    Args:
        steps: the first and the last step.
        phase: the phase; None for any.
        function: a reward function that scored the sample; None for any.
        text: text in the prompt or the completion, ignoring case; None for any.
    """

    def __init__(
        self, steps: tuple[float, float], phase: Phase | None, function: str | None, text: str | None
    ) -> None:
        self.checked = 0
        """Number of samples checked."""
        self.taken = 0
        """Number of samples that match."""
        self.functions: dict[str, None] = {}
        """The reward functions that scored them."""
        self._steps = steps
        self._phase = phase
        self._function = function
        self._text = text.casefold() if text else None

    def of(self, shown: Iterable[SampleEvidence]) -> Iterator[SampleEvidence]:
        """The samples that match."""
        for item in shown:
            self.checked += 1
            if len(self.functions) < MAX_FUNCTIONS:
                self.functions.update(dict.fromkeys(item.sample.rewards))
            if self._takes(item.sample):
                self.taken += 1
                yield item

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
    """The first `limit` samples in order; memory holds at most these, and none in the recorded order."""
    if by in (None, "step"):
        return islice(shown, limit) if limit is None else _first(shown, limit)
    key = _key(by, function)
    return sorted(shown, key=key) if limit is None else nsmallest(limit, shown, key)


def _first(shown: Iterable[SampleEvidence], limit: int) -> list[SampleEvidence]:
    """The first samples; it also iterates over the others, so that the filter counts them."""
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

"""Choosing the samples of a step that are worth keeping: the best, the worst, the odd, and some by chance.

Invariant: at most `count` samples of bounded size are kept, whatever the batches hold, and the random numbers
are this object's own.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from random import Random
from typing import Any, cast

from msgspec.structs import replace

from rldk.recording.completion_stats import Batch
from rldk.runs.message_text import message_text
from rldk.schema.event import Phase
from rldk.schema.sample import RecordedSample, Text, Why

__all__ = ["MAX_CHARS", "SampleReservoir", "clipped"]

MAX_CHARS = 4_000
"""Characters that are kept of a prompt, and of a completion."""
MAX_MESSAGES = 20
"""Messages that are kept of a conversation: the first and the last of them."""
_LEAST_CHARS = 200
_ODD: tuple[Why, ...] = ("ended-unseen", "missing", "cut")


class SampleReservoir:
    """Takes the batches of a step, one after the other; `take` gives what is kept of them.

    Args:
        count: samples to keep a step. The best comes first, then the worst; one of each oddity that there
            is, then others by chance fill the rest.
        random: where chance comes from.
    """

    def __init__(self, count: int, random: Random) -> None:
        self._count = count
        self._random = random
        self._start()

    def _start(self) -> None:
        self._kept: dict[str, RecordedSample] = {}
        self._met: dict[str, int] = {}
        self._rows = self._groups = 0

    def add(self, batch: Batch, totals: Sequence[float | None] | None) -> None:
        """Look through a batch; nothing of it is held but copies of what is chosen.

        Args:
            batch: the completions.
            totals: the reward of each; None where it is not known.
        """
        if self._count <= 0:
            return
        rated = (
            [] if totals is None else [(t, i) for i, t in enumerate(totals) if t is not None and isfinite(t)]
        )
        chosen: dict[str, int] = {}
        if rated:
            for kind, (total, index), sign in (("best", max(rated), 1), ("worst", min(rated), -1)):
                held = self._kept.get(kind)
                if held is None or held.reward is None or sign * total > sign * held.reward:
                    chosen[kind] = index
        for kind, rows in self._odd(batch).items():
            self._draw(kind, rows, chosen)
        everything = range(batch.size)
        for slot in range(max(self._count - 2, 1)):
            self._draw(f"random{slot}", everything, chosen)
        made: dict[int, RecordedSample] = {}
        for kind, index in chosen.items():
            if index not in made:
                made[index] = self._sample(batch, index, None if totals is None else totals[index])
            self._kept[kind] = made[index]
        self._rows += batch.size
        self._groups += max(batch.groups) + 1

    def take(self, step: int, phase: Phase) -> list[RecordedSample]:
        """The samples of the batches since the last call, the best first."""
        kept, count = self._kept, self._count
        self._start()
        best, worst = kept.get("best"), kept.get("worst")
        if best is not None and worst is not None and best.reward == worst.reward:
            del kept["best"], kept["worst"]  # all were worth the same
        whys: dict[int, list[Why]] = {}
        of_index: dict[int, RecordedSample] = {}
        for kind in ("best", "worst", *_ODD, *sorted(kind for kind in kept if kind.startswith("random"))):
            sample = kept.get(kind)
            if sample is None or (sample.index not in whys and len(whys) >= count):
                continue
            why = cast("Why", "random" if kind.startswith("random") else kind)
            reasons = whys.setdefault(sample.index, [])
            if why not in reasons and not (why == "random" and reasons):
                reasons.append(why)
            of_index[sample.index] = sample
        return [
            replace(of_index[index], step=step, phase=phase, why=tuple(reasons))
            for index, reasons in whys.items()
        ]

    def _odd(self, batch: Batch) -> dict[str, Sequence[int]]:
        """The rows of each oddity."""
        rows = range(batch.size)
        values = [row for row in batch.values.values() if row is not None]
        odd: dict[str, Sequence[int]] = {
            "missing": [i for row in values for i in rows if _finite(row[i]) is None],
        }
        if batch.ends is not None and batch.unseen is not None:
            odd["cut"] = [i for i in rows if batch.ends[i] == "cut"]
            odd["ended-unseen"] = [i for i in rows if batch.unseen[i]]
        return odd

    def _draw(self, kind: str, rows: Sequence[int], chosen: dict[str, int]) -> None:
        """Choose one of all rows of a kind so far, each as likely as the others."""
        if not rows:
            return
        met = self._met[kind] = self._met.get(kind, 0) + len(rows)
        slot = self._random.randrange(met)
        if slot < len(rows):
            chosen[kind] = rows[slot]

    def _sample(self, batch: Batch, index: int, total: float | None) -> RecordedSample:
        prompt, left_out = clipped(batch.prompts[index] if batch.prompts is not None else "")
        completion, more = clipped(batch.completions[index])
        return RecordedSample(
            step=0,
            phase="train",
            group=self._groups + batch.groups[index],
            index=self._rows + index,
            prompt=prompt,
            completion=completion,
            rewards={name: _finite(row and row[index]) for name, row in batch.values.items()},
            reward=_finite(total),
            length=None if batch.lengths is None else batch.lengths[index],
            end=None if batch.ends is None else batch.ends[index],
            cut_chars=left_out + more,
        )


def clipped(text: Any, limit: int = MAX_CHARS) -> tuple[Text, int]:
    """A text or the messages of a conversation with the middle left out where they are long.

    Returns:
        text: at most `limit` characters, the note on what is missing not counted.
        left_out: the characters that are missing.
    """
    if isinstance(text, str):
        return _clipped(text, limit)
    if not isinstance(text, list | tuple):
        return f"<{type(text).__name__}>", 0
    messages = [one for one in text if isinstance(one, Mapping)]
    head, tail = messages[: MAX_MESSAGES // 2], messages[MAX_MESSAGES // 2 :][-MAX_MESSAGES // 2 :]
    between = messages[len(head) : len(messages) - len(tail)]
    left_out = sum(len(message_text(one)) for one in between)
    kept: list[dict[str, Any]] = []
    for message in (*head, *tail):
        content, more = _clipped(message_text(message), max(limit // len(head + tail), _LEAST_CHARS))
        kept.append({"role": str(message.get("role"))[:_LEAST_CHARS], "content": content})
        left_out += more
    return kept, left_out


def _clipped(text: str, limit: int) -> tuple[str, int]:
    if len(text) <= limit:
        return text, 0
    left_out = len(text) - limit
    return (
        f"{text[: limit // 2]}\n[... {left_out:,} characters ...]\n{text[len(text) - limit // 2 :]}",
        left_out,
    )


def _finite(value: Any) -> float | None:
    return value if value is not None and isfinite(value) else None

"""What one batch of completions says: statistics of its texts and of each reward function's values.

Owns how each number of `rldk.metrics.reward_observer_rows` comes about. Invariant: a number that cannot be
known is absent, nothing of the batch is changed, and the work on its tokens is bounded.
"""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from itertools import chain
from math import isfinite, isnan, sqrt
from typing import Any

import msgspec

from rldk.runs.message_text import message_text
from rldk.schema.sample import End

__all__ = ["Batch", "Ends", "function_facts", "numbers", "text_facts", "total_rewards"]

Values = Sequence[float | None]
"""What a reward function gave, a number a completion; None where it gave None or NaN."""

REPETITION_COMPLETIONS = 8
"""Completions of a batch whose n-grams are counted, spread over the batch."""
REPETITION_TOKENS = 512
"""Tokens of each of them, its last: a text that has begun to repeat itself goes on to its end."""
REPETITION_LEAST = 16
"""Tokens below which a text is too short to repeat itself."""


class Ends(msgspec.Struct, frozen=True, kw_only=True):
    """How a completion can end."""

    known: frozenset[int] = frozenset()
    """Every token that ends a text: the tokenizer's EOS and those of the generation config."""
    trainers: frozenset[int] = frozenset()
    """Those at which the trainer counts a completion as ended."""
    pad: int | None = None
    """What fills up a completion that ended without the trainer seeing it; it may be an end token itself."""
    limit: int | None = None
    """`max_completion_length`."""


class Batch:
    """Completions that were scored together.

    Args:
        prompts: one a completion; None where the trainer gave none.
        completions: text, or messages.
        ids: the tokens of each; None where the trainer gave none.
        values: what each reward function gave; None for one that failed or whose answer cannot be read.
        ends: how a completion can end.
    """

    def __init__(
        self,
        prompts: Sequence[Any] | None,
        completions: Sequence[Any],
        ids: Sequence[Sequence[int]] | None,
        values: Mapping[str, Values | None],
        ends: Ends,
    ) -> None:
        self.prompts = prompts if prompts is not None and len(prompts) == len(completions) else None
        """The prompt of each completion, or None."""
        self.completions = completions
        """The completions."""
        self.values = values
        """What each reward function gave."""
        self.size = len(completions)
        """Number of completions."""
        self.groups = _groups(self.prompts, self.size)
        """Which prompt each completion answers, counted from 0."""
        self.limited = ends.limit is not None
        """Whether it is known how long a completion may be."""
        known = ids is not None and len(ids) == self.size and all(isinstance(row, list) for row in ids)
        self.ids = ids if known else None
        """The tokens of each completion, or None."""
        self.lengths: list[int] | None = None
        """Tokens of each completion, padding left out."""
        self.ends: list[End] | None = None
        """How each completion ended; None without tokens, or where no end token is known."""
        self.unseen: list[bool] | None = None
        """Whether each ended without the trainer counting it as ended."""
        if self.ids is not None:
            self.lengths = [_length(row, ends) for row in self.ids]
            if ends.known:
                rows = list(zip(self.completions, self.ids, self.lengths, strict=True))
                self.ends = [_end(*row, ends) for row in rows]
                self.unseen = [
                    end == "eos" and row[-1] not in ends.trainers
                    for end, row in zip(self.ends, self.ids, strict=True)
                ]


def text_facts(batch: Batch) -> dict[str, float]:
    """What the texts of a batch say, by the names of `samples/...`."""
    size = batch.size
    facts = {"empty_frac": sum(_is_empty(text) for text in batch.completions) / size}
    _put(facts, "duplicate_frac", _duplicates([text_key(one) for one in batch.completions], batch.groups))
    if batch.ids is not None and batch.lengths is not None:
        _put(facts, "repetition_frac", _repetition(batch.ids, batch.lengths))
    if batch.ends is not None and batch.unseen is not None:
        facts["ended_frac"] = batch.ends.count("eos") / size
        if batch.limited:
            facts["cut_frac"] = batch.ends.count("cut") / size
        facts["trainer_ended_frac"] = facts["ended_frac"] - sum(batch.unseen) / size
    rows = [row for row in batch.values.values() if row is not None]
    if rows and len(rows) == len(batch.values):
        whole = any(None not in row for row in rows)
        facts["unscored_frac"] = 0.0 if whole else sum(map(_is_unscored, zip(*rows, strict=True))) / size
    return {f"samples/{name}": value for name, value in facts.items()}


def function_facts(values: Values, groups: Sequence[int]) -> dict[str, float]:
    """What the values of one reward function say, by the last part of `reward_functions/{function}/...`."""
    size = len(values)
    missing = values.count(None)
    finite: Sequence[float] = [value for value in values if value is not None and isfinite(value)]
    facts = {"missing_frac": missing / size, "nonfinite_frac": (size - missing - len(finite)) / size}
    of_group: dict[int, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        if value is not None and isfinite(value):
            of_group.setdefault(group, []).append(value)
    compared = [group for group in of_group.values() if len(group) > 1]
    if compared:
        facts["group_std_mean"] = sum(map(_spread, compared)) / len(compared)
        facts["duplicate_frac"] = sum(map(_alike, compared)) / sum(map(len, compared))
    return facts


def total_rewards(rows: Sequence[Values], weights: Sequence[float]) -> list[float | None]:
    """The weighted sum of each completion's rewards, None where no function gave one.

    TRL leaves out what is missing (`nansum`).
    """
    totals: list[float | None] = []
    for row in zip(*rows, strict=True):
        given = [weight * value for weight, value in zip(weights, row, strict=True) if value is not None]
        totals.append(sum(given) if given else None)
    return totals


def numbers(output: Sequence[Any]) -> list[float | None] | None:
    """What a reward function returned, as numbers; None where they are on an accelerator, which is not read.

    None and NaN, which TRL treats alike, are both None.

    Raises:
        TypeError, ValueError, OverflowError: there is something else among them.
    """
    values: list[float | None] = []
    for value in output:
        if type(value) is float:
            number = value
        elif value is None:
            values.append(None)
            continue
        elif getattr(getattr(value, "device", None), "type", "cpu") != "cpu":
            return None
        elif isinstance(value, str | bytes):
            raise TypeError("text is no reward")
        else:
            number = float(value.item() if hasattr(value, "item") else _single(value))
        values.append(None if isnan(number) else number)
    return values


def text_key(text: Any) -> Hashable:
    """What makes two prompts or completions the same: their words, and who says them.

    Pictures and the like are compared by identity, so that two of them are never taken for one.
    """
    if isinstance(text, str):
        return text
    if isinstance(text, list | tuple):
        messages = [one for one in text if isinstance(one, Mapping)]
        return tuple(
            chain.from_iterable((str(one.get("role")), message_text(one), _others(one)) for one in messages)
        )
    return id(text)


def _others(message: Mapping[str, Any]) -> tuple[int, ...]:
    """The identities of the parts of a message that are no text."""
    content = message.get("content")
    if not isinstance(content, list | tuple):
        return ()
    return tuple(id(part) for part in content if not (isinstance(part, Mapping) and "text" in part))


def _single(value: Any) -> Any:
    """The element of a list of one: a row of what was a matrix of one column."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _groups(prompts: Sequence[Any] | None, size: int) -> list[int]:
    if prompts is None:
        return list(range(size))  # nothing tells which belong together
    known: dict[Hashable, int] = {}
    return [known.setdefault(text_key(prompt), len(known)) for prompt in prompts]


def _length(ids: Sequence[int], ends: Ends) -> int:
    """Number of tokens before the padding at the end; of a padding of end tokens the first one is kept."""
    length = len(ids)
    while length and ids[length - 1] == ends.pad:
        length -= 1
    return length + (length < len(ids) and ends.pad in ends.known)


def _end(completion: Any, ids: Sequence[int], length: int, ends: Ends) -> End:
    """How a completion ended.

    TRL 0.23 lets the model write on behind an end token that it does not know: such a text has ended.
    That of several turns holds the ends of all of them: there the last token counts alone.
    """
    if length and ids[length - 1] in ends.known:
        return "eos"
    one_turn = isinstance(completion, str) or len(completion) <= 1
    if one_turn and not ends.known.isdisjoint(ids):
        return "eos"
    whole = length == len(ids) and ends.limit is not None and length >= ends.limit
    return "cut" if whole else "other"


def _is_empty(completion: Any) -> bool:
    if isinstance(completion, list | tuple):
        return all(_is_empty(message_text(one)) for one in completion if isinstance(one, Mapping))
    return isinstance(completion, str) and (not completion or completion.isspace())


def _is_unscored(values: Sequence[float | None]) -> bool:
    return values.count(None) == len(values)


def _duplicates(keys: Sequence[Hashable], groups: Sequence[int]) -> float | None:
    """Share of completions that equal another of their group, of those that have another beside them."""
    if len(set(groups)) == len(groups):
        return None
    sizes = Counter(groups)
    copies = Counter(zip(groups, keys, strict=True))
    alike = sum(count for count in copies.values() if count > 1)
    return alike / sum(size for size in sizes.values() if size > 1)


def _repetition(ids: Sequence[Sequence[int]], lengths: Sequence[int]) -> float | None:
    """Mean share of the 4-grams of a completion that stood in it before."""
    chosen = range(0, len(ids), -(-len(ids) // REPETITION_COMPLETIONS))
    shares = []
    for index in chosen:
        end = lengths[index]
        if end < REPETITION_LEAST:
            continue
        tokens = ids[index][max(end - REPETITION_TOKENS, 0) : end]
        grams = set(zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False))
        shares.append(1 - len(grams) / (len(tokens) - 3))
    return sum(shares) / len(shares) if shares else None


def _spread(values: Sequence[float]) -> float:
    """The standard deviation as torch has it; `statistics.stdev` is exact, and takes fifty times as long."""
    mean = sum(values) / len(values)
    return sqrt(sum((value - mean) * (value - mean) for value in values) / (len(values) - 1))


def _alike(values: Sequence[float]) -> int:
    """How many of the values another one equals."""
    if len(set(values)) == len(values):
        return 0
    return sum(count for count in Counter(values).values() if count > 1)


def _put(facts: dict[str, float], name: str, value: float | None) -> None:
    if value is not None:
        facts[name] = value

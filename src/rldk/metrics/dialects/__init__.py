"""Owns the translation of a framework's metric keys; an unknown key is never changed.

A dialect is data: one table of names per framework, and one per training algorithm where the framework's
trainers give a key different meanings. Each framework has its own module here.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from rldk.schema.event import Phase

__all__ = ["COMMON", "Dialect", "first_reading", "phase_of"]

COMMON = "trainer"
"""The table of a dialect with the keys that all its trainers log."""
EVAL_PREFIX = "eval_"
MEMO_LIMIT = 4096
"""Most translations that an algorithm's table caches; a real run has fewer than a hundred keys."""


@dataclass(frozen=True, slots=True)
class _Table:
    exact: Mapping[str, str]
    patterns: tuple[tuple[re.Pattern[str], str], ...]

    @classmethod
    def of(cls, names: Mapping[str, str]) -> "_Table":
        for text in (*names, *names.values()):
            if not isinstance(text, str):
                raise TypeError(f"{text!r} in a table of a dialect is no text")
        return cls(
            exact={key: name for key, name in names.items() if "{" not in key},
            patterns=tuple((_pattern(key, name), name) for key, name in names.items() if "{" in key),
        )

    def read(self, key: str) -> str | None:
        name = self.exact.get(key)
        if name is not None:
            return name
        for pattern, template in self.patterns:
            match = pattern.fullmatch(key)
            if match:
                return template.format_map(match.groupdict())
        return None


class _Memo(dict[str, str]):
    """Cache of the translations of one table; the lookup of a known key runs no Python code."""

    def __init__(self, table: _Table) -> None:
        super().__init__()
        self._table = table

    def knows(self, key: str) -> bool:
        return self._table.read(key.removeprefix(EVAL_PREFIX)) is not None

    def __missing__(self, key: str) -> str:
        rest = key
        while rest.startswith(EVAL_PREFIX):
            rest = rest[len(EVAL_PREFIX) :]
        name = key[: len(key) - len(rest)] + (self._table.read(rest) or rest)
        # Clearing is simpler than evicting single keys: the keys in use come back at the next step.
        if len(self) >= MEMO_LIMIT:
            self.clear()
        self[key] = name
        return name


@dataclass(frozen=True, eq=False, slots=True)
class Dialect:
    """The metric keys of one framework, and the canonical name of each.

    A key may hold a part in braces, `rewards/{function}/mean`, that matches any text; the canonical name
    repeats it. An exact key wins over a pattern.

    Example:
        >>> mine = Dialect("mine", {"kl": "kl_mean", "score/{function}": "rewards/{function}/mean"})
        >>> mine.canonical("score/accuracy"), mine.canonical("eval_kl"), mine.canonical("other")
        ('rewards/accuracy/mean', 'eval_kl_mean', 'other')
    """

    name: str
    """The framework, and its generation where two differ: `trl`, `trl-0`."""

    names: Mapping[str, str] = field(repr=False)
    """Trainer's key to canonical name, for an algorithm without its own table."""

    by_algorithm: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
    """The whole table of each known algorithm.

    It is whole, and not only the difference: users log their own metrics, and the `accuracy` of a GRPO user
    must not be read as the `accuracy` of a reward model.
    """

    title: str = ""
    """The framework's name on pages: `verl`, `LLaMA-Factory`; by default `name`."""

    version: str = ""
    """The version whose sources were read for the tables; empty where none is claimed."""

    _memo: dict[str | None, _Memo] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Prepare the tables.

        Raises:
            TypeError: a key or a name is no text.
            ValueError: a part in braces has no name of its own, or the canonical name has one that its key
                has not.
        """
        object.__setattr__(self, "title", self.title or self.name)
        tables: dict[str | None, Mapping[str, str]] = {None: self.names}
        tables.update(self.by_algorithm)
        memo = {algorithm: _Memo(_Table.of(names)) for algorithm, names in tables.items()}
        object.__setattr__(self, "_memo", memo)

    @property
    def tables(self) -> Mapping[str, Mapping[str, str]]:
        """Each table by its algorithm; only `names`, under `trainer`, if no algorithm has a table."""
        return self.by_algorithm or {COMMON: self.names}

    def canonical(self, key: str, algorithm: str | None = None) -> str:
        """The canonical name of `key` in a log of `algorithm`; an unknown key stays as it is.

        The keys of an evaluation keep their prefix: `eval_` and the canonical name of the rest.
        """
        return self.reader(algorithm)(key)

    def knows(self, key: str, algorithm: str | None = None) -> bool:
        """Whether `key` is in the table of `algorithm` (None: of any algorithm)."""
        return self._memo.get(algorithm, self._memo[None]).knows(key)

    def reader(self, algorithm: str | None = None) -> Callable[[str], str]:
        """`canonical` for the logs of one algorithm."""
        return self._memo.get(algorithm, self._memo[None]).__getitem__


def phase_of(logs: Mapping[Any, Any]) -> Phase:
    """The phase of one log, by its keys, which are the only sign of it.

    A train record has a `loss` (TRL's PPO: an `episode`), also if it has `train_runtime`.

    Example:
        >>> phase_of({"loss": 0.5}), phase_of({"eval_loss": 0.5}), phase_of({"train_runtime": 60.0})
        ('train', 'eval', 'summary')
    """
    if "loss" in logs or "episode" in logs:
        return "train"
    if "train_runtime" in logs:
        return "summary"
    keys = [key for key in logs if isinstance(key, str)]
    if any(key.startswith("eval_") or key.endswith("_runtime") for key in keys):
        return "eval"
    evaluates = any(key.startswith("eval/") for key in keys)
    return (
        "eval" if evaluates and not any(key.startswith(("train/", "rollout/")) for key in keys) else "train"
    )


def first_reading(tables: Iterable[Mapping[str, str]]) -> dict[str, str]:
    """Merge the tables of several algorithms; where they disagree on a key, the first one wins."""
    merged: dict[str, str] = {}
    for table in tables:
        for key, name in table.items():
            merged.setdefault(key, name)
    return merged


def _pattern(key: str, name: str) -> re.Pattern[str]:
    pieces = re.split(r"\{(\w+)\}", key)
    text = "".join(
        f"(?P<{piece}>.+)" if index % 2 else re.escape(piece) for index, piece in enumerate(pieces)
    )
    try:
        pattern = re.compile(text)
        name.format_map(dict.fromkeys(pattern.groupindex, ""))
    except (re.error, LookupError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{name!r} is no name for the key {key!r}: {type(error).__name__}: {error}"
        ) from None
    return pattern

"""Detects the dialect and the algorithm of a log by its keys.

Invariant: the answer depends only on the set of keys. The dialect wins whose best table knows most keys, and
then the algorithm whose table knows most; of equals the earlier one. Keys that all trainers of the dialect
log do not count for an algorithm.
"""

from collections.abc import Collection, Mapping
from functools import cache

from rldk._modules import modules_of
from rldk._plugins import named_plugins
from rldk.metrics.dialects import COMMON, Dialect
from rldk.metrics.dialects.generic import GENERIC

__all__ = ["DIALECTS", "detect", "installed_dialects"]

PAIRED = "dpo"
"""The algorithm to assume for keys with "chosen" in them that no table of `PAIRS` knows better."""
PAIRS = frozenset({"dpo", "kto", "orpo", "cpo", "bco", "tpo", "xpo", "online_dpo", "nash_md", "reward", "rm"})
"""Tables of trainers that learn from preferences."""
PLAIN = frozenset({"loss", "lr", "grad_norm"})
"""Keys that any training loop prints: they are no sign of a framework."""
TRAIN = "train/"
"""Prefix of the Trainer's keys in W&B and TensorBoard."""
LIKELIER = ("trl", "trl-early", "verl", "openrlhf")
"""The dialects that win a tie, the likeliest first; the others follow by name."""


def _own_dialects() -> dict[str, Dialect]:
    """The dialect of each module of this package: `VERL` of `verl.py`."""
    modules = modules_of("rldk.metrics.dialects")
    found = [getattr(module, name.upper(), None) for name, module in modules if name != GENERIC.name]
    by_name = {dialect.name: dialect for dialect in found if isinstance(dialect, Dialect)}
    likelier = {name: by_name.pop(name) for name in LIKELIER}
    return likelier | by_name


DIALECTS = _own_dialects()
"""The dialects of rldk by name, the likelier ones first."""


@cache
def installed_dialects() -> Mapping[str, Dialect]:
    """The dialects of rldk, then the dialects of the entry points `rldk.dialects`, by name."""
    others = named_plugins("rldk.dialects", Dialect, (GENERIC.name, *DIALECTS))
    return DIALECTS | {dialect.name: dialect for _, dialect in others}


def detect(keys: Collection[str], named: str | Dialect | None = None) -> tuple[Dialect | None, str | None]:
    """The dialect and the algorithm of a log; None where its keys do not show it.

    Args:
        keys: the log's own keys.
        named: the dialect, or its name, if the format of the log belongs to one framework; an unknown name is
            ignored.

    Example:
        >>> dialect, algorithm = detect(["critic/vf_loss", "actor/pg_loss", "critic/values/mean"])
        >>> dialect.name, algorithm
        ('verl', 'ppo')
    """
    installed = installed_dialects()
    only = installed.get(named) if isinstance(named, str) else named
    candidates = list(installed.values()) if only is None else [only]
    scores = [(_most_known(dialect, keys), dialect) for dialect in candidates]
    best, dialect = max(scores, key=lambda scored: scored[0])
    if not best:
        return only, None
    if only is None and "lr" in keys and PLAIN.issuperset(key for key in keys if dialect.knows(key)):
        return GENERIC, None
    # Keys that every trainer logs do not show the algorithm.
    plain = {key if dialect.knows(key) else key.removeprefix(TRAIN) for key in keys}
    distinctive = [
        key for key in plain if COMMON not in dialect.by_algorithm or not dialect.knows(key, COMMON)
    ]
    known = {name: sum(dialect.knows(key, name) for key in distinctive) for name in dialect.by_algorithm}
    most = max(known.values(), default=0)
    best_known = [name for name, count in known.items() if count == most > 0]
    if PAIRED in known and not PAIRS & set(best_known) and any("chosen" in key for key in distinctive):
        return dialect, PAIRED  # only pairs have a chosen completion
    # A single key that trainers of every kind log does not show the algorithm.
    return dialect, best_known[0] if best_known and (most > 1 or len(best_known) <= 2) else None


def _most_known(dialect: Dialect, keys: Collection[str]) -> int:
    """The number of `keys` that the best of the dialect's tables knows.

    Only one table counts, because no log has two algorithms. A key with `train/` before it counts as the bare
    key too, or a Trainer's log would look like a log of SB3 or verl.
    """
    return max(
        sum(dialect.knows(key, name) or dialect.knows(key.removeprefix(TRAIN), name) for key in keys)
        for name in dialect.tables
    )

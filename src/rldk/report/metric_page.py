"""The facts about a metric: its keys in each framework, the rules that use it, quantiles of its values."""

from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from fnmatch import fnmatchcase

from rldk.health import Rule, RunContext, installed_rules
from rldk.health.tracks import Chart
from rldk.metrics import METRICS, Metric, metric_of
from rldk.metrics.dialects import COMMON, Dialect
from rldk.metrics.dialects.detect import installed_dialects

__all__ = ["found_as", "keys_of", "names_of", "nearest", "quantile", "rules_of"]


def found_as(name: str) -> list[Metric]:
    """The metrics that a name means: a canonical name, or a trainer's own key in any framework."""
    metric = metric_of(name)
    found = {} if metric is None else {metric.name: metric}
    for dialect in installed_dialects().values():
        for algorithm in (COMMON, *dialect.by_algorithm):
            for key in (name, name.removeprefix("train/"), name.removeprefix("eval/")):
                if dialect.knows(key, algorithm):
                    known = metric_of(dialect.canonical(key, algorithm))
                    if known is not None:
                        found[known.name] = known
    return list(found.values())


def names_of(key: str) -> list[str]:
    """The canonical names that a trainer's key has in any framework, such as `rewards/mine/mean`."""
    readers = [
        (dialect, algorithm)
        for dialect in installed_dialects().values()
        for algorithm in (COMMON, *dialect.by_algorithm)
    ]
    return list(dict.fromkeys(dialect.canonical(key, algorithm) for dialect, algorithm in readers))


def keys_of(metric: Metric) -> list[tuple[str, str]]:
    """Each framework that logs a metric, with the keys; it lists the trainers if not all use a key."""
    texts = []
    for dialect in installed_dialects().values():
        keys = _keys(dialect, metric.name)
        if keys:
            texts.append((dialect.title, ", ".join(keys)))
    return texts


def _keys(dialect: Dialect, name: str) -> list[str]:
    logged: dict[str, list[str]] = {}
    for algorithm, names in dialect.tables.items():
        for key, canonical in names.items():
            second_form = key.startswith("train/") and key.removeprefix("train/") in names
            if canonical == name and not second_form:
                logged.setdefault(key, []).append(algorithm)
    everyone = len(dialect.tables)
    return [
        key if COMMON in who or len(who) == everyone else f"{key} ({', '.join(who)})"
        for key, who in logged.items()
    ]


def rules_of(name: str) -> list[type[Rule]]:
    """The rules that need a metric, or use it if it is logged."""
    return [rule for rule in installed_rules() if any(_is(need, name) for need in _needs_of(rule))]


def _needs_of(rule: type[Rule]) -> set[str]:
    chart = Chart()
    with suppress(Exception):  # a rule of another package may not start without a run
        rule(rule.Options(), RunContext(), chart)
    return {name for names in (*rule.needs, *chart.tracks) for name in names.split("|")}


def _is(need: str, name: str) -> bool:
    return need == name or ("*" in need and fnmatchcase(name, need))


def nearest(name: str) -> list[str]:
    """Similar names of metrics and keys, for a hint."""
    known = {*METRICS}
    for dialect in installed_dialects().values():
        known.update(key for names in dialect.tables.values() for key in names)
    part = name.lower()
    inside = sorted((key for key in known if part in key.lower()), key=len) if len(name) > 2 else []
    return list(dict.fromkeys([*get_close_matches(name, known, 3, 0.6), *inside[:3]]))


def quantile(ordered: Sequence[float], share: float) -> float:
    """The quantile `share` (0 to 1) of sorted values, interpolated between two neighbours."""
    position = share * (len(ordered) - 1)
    low = int(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (position - low)

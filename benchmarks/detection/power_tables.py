"""The numbers of `power.py` as plain JSON, and the tables of docs/power.md made from them alone."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from math import ceil
from statistics import median
from typing import Any, NamedTuple

from injection import FAMILIES, PATTERNS
from injection.base import Base
from score import table

LENGTHS = ("long", "short")
Results = dict[str, Any]


class Outcome(NamedTuple):
    """One log, with what is in it and what became of it."""

    kind: str
    """`healthy`, `pattern` or `fault`."""
    name: str
    """The pattern or the family."""
    magnitude: float
    base: Base
    right: str
    """`quiet`, `between` or `due`."""
    is_named: bool
    is_mentioned: bool
    """Whether an expected finding stands at any severity."""
    delay: int | None
    """Train records from the onset to the first live alert of the level that is due."""
    alarms: tuple[str, ...]
    """False ones, by rule."""
    scores: dict[str, float]
    """The largest score of each rule whose finding would be false."""


def summarize(outcomes: Iterable[Outcome]) -> Results:
    """All numbers of the tables."""
    outcomes = list(outcomes)
    faults = [one for one in outcomes if one.kind == "fault"]
    plain = [one for one in outcomes if one.kind == "healthy"]
    varied = [one for one in outcomes if one.kind == "pattern"]
    return {
        "runs": len(outcomes),
        "healthy": _grouped(plain, lambda one: one.base.source, _alarms),
        "sources": _grouped(faults, lambda one: one.base.source, _by_length(_due)),
        "faults": _grouped(faults, lambda one: one.name, _by_length(_of_family)),
        "patterns": _grouped(varied, lambda one: one.name, _alarms),
        "scores": _scores(outcomes),
    }


def _grouped(
    outcomes: list[Outcome], key: Callable[[Outcome], str], about: Callable[[list[Outcome]], Results]
) -> Results:
    groups = defaultdict[str, list[Outcome]](list)
    for one in outcomes:
        groups[key(one)].append(one)
    return {name: about(ones) for name, ones in groups.items()}


def _by_length(about: Callable[[list[Outcome]], Results]) -> Callable[[list[Outcome]], Results]:
    def both(outcomes: list[Outcome]) -> Results:
        found = _grouped(outcomes, lambda one: "long" if one.base.is_long else "short", about)
        return {length: found[length] for length in LENGTHS if length in found}

    return both


def _alarms(outcomes: list[Outcome]) -> Results:
    false = [one for one in outcomes if one.alarms]
    return {
        "runs": len(outcomes),
        "false": len(false),
        "alarms": [f"{', '.join(one.alarms)} on {one.base.name}" for one in false],
    }


def _due(outcomes: list[Outcome]) -> Results:
    due = [one for one in outcomes if one.right == "due"]
    quiet = [one for one in outcomes if one.right == "quiet"]
    delays = sorted(one.delay for one in due if one.delay is not None)
    return {
        "due": len(due),
        "named": sum(one.is_named for one in due),
        "quiet": len(quiet),
        "false": sum(bool(one.alarms) for one in quiet),
        "alarms": dict(Counter(rule for one in quiet for rule in one.alarms).most_common()),
        "delay": [median(delays), delays[ceil(0.9 * len(delays)) - 1]] if delays else None,
    }


def _of_family(outcomes: list[Outcome]) -> Results:
    magnitudes = {}
    for magnitude in FAMILIES[outcomes[0].name].magnitudes:
        ones = [one for one in outcomes if one.magnitude == magnitude]
        named, mentioned = sum(one.is_named for one in ones), sum(one.is_mentioned for one in ones)
        magnitudes[f"{magnitude:g}"] = [named, mentioned, len(ones)]
    return _due(outcomes) | {"magnitudes": magnitudes}


def _scores(outcomes: list[Outcome]) -> dict[str, tuple[float, str]]:
    """The largest score of each rule on healthy logs and patterns, and where."""
    largest: dict[str, tuple[float, str]] = {}
    for one in outcomes:
        where = f"{one.base.name} {one.name}".strip()
        for rule, score in one.scores.items():
            largest[rule] = max(largest.get(rule, (score, where)), (score, where))
    return dict(sorted(largest.items(), key=lambda item: -item[1][0]))


def tables(results: Results) -> str:
    """All tables, in Markdown."""
    parts = [
        _summary(results),
        _families(results["faults"]),
        _magnitudes(results["faults"]),
        _healthy(results["healthy"]),
        _patterns(results["patterns"]),
        _margins(results["scores"]),
    ]
    return "\n".join(filter(None, parts)).rstrip()


def _share(part: int, whole: int) -> str:
    return f"{part} of {whole} ({part / whole:.0%})" if whole else ""


def _summary(results: Results) -> str:
    rows = []
    for source, lengths in results["sources"].items():
        for length, one in lengths.items():
            rows.append((source, length, *_shares([one])))
    for length in LENGTHS:
        ones = [lengths[length] for lengths in results["sources"].values() if length in lengths]
        rows.append(("all", length, *_shares(ones)))
    head = ["healthy logs", "length", "named of what is due", "alarms where none is due"]
    title = f"Summary of {results['runs']:,} judged logs ({results['date']}, seed {results['seed']})"
    return table(title, head, rows)


def _shares(ones: list[Results]) -> tuple[str, str]:
    named, due, false, quiet = (sum(one[key] for one in ones) for key in ("named", "due", "false", "quiet"))
    return _share(named, due), _share(false, quiet)


def _families(faults: Results) -> str:
    rows = []
    for name, lengths in faults.items():
        family = FAMILIES[name]
        due = "never" if family.due is None else f"{family.due:g} {family.unit}"
        quiet, false = (sum(one[key] for one in lengths.values()) for key in ("quiet", "false"))
        alarms = sum((Counter(one["alarms"]) for one in lengths.values()), Counter[str]())
        which = ", ".join(f"{rule} {count}" for rule, count in alarms.most_common())
        cells = []
        for length in LENGTHS:
            one = lengths.get(length)
            cells += [_share(one["named"], one["due"]), _delay(one["delay"])] if one else ["", ""]
        rows.append((name, due, *cells, f"{false} of {quiet}" if quiet else "", which))
    lengths_of_logs = [head for length in LENGTHS for head in (f"named, {length} logs", "delay")]
    head = ["fault", "due from", *lengths_of_logs, "alarms where none is due", "which"]
    return table("By fault", head, rows)


def _delay(delay: list[float] | None) -> str:
    return f"{delay[0]:g} (p90 {delay[1]:g})" if delay else ""


def _magnitudes(faults: Results) -> str:
    rows = []
    for name, lengths in faults.items():
        for length, one in lengths.items():
            cells = [
                f"{magnitude}: {100 * named / count:.0f}/{100 * mentioned / count:.0f}"
                for magnitude, (named, mentioned, count) in one["magnitudes"].items()
                if count
            ]
            rows.append((name, FAMILIES[name].unit, length, " · ".join(cells)))
    head = ["fault", "unit", "length", "magnitude: percent named/found at any severity"]
    return table("By magnitude", head, rows)


def _healthy(healthy: Results) -> str:
    rows = [(source, *_false(one)) for source, one in healthy.items()]
    return table("Healthy logs as they are", ["healthy logs", "with an alarm", "which"], rows)


def _patterns(patterns: Results) -> str:
    rows = [(name, PATTERNS[name].about, *_false(one)) for name, one in patterns.items()]
    return table("Healthy patterns", ["pattern", "what is put in", "with an alarm", "which"], rows)


def _false(one: Results) -> tuple[str, str]:
    return f"{one['false']} of {one['runs']}", "; ".join(one["alarms"])


def _margins(scores: Results) -> str:
    if not scores:
        return ""
    rows = [(rule, f"{score:.2f}", where) for rule, (score, where) in scores.items()]
    return table("The largest score of each rule in health", ["rule", "score (1 is a warning)", "on"], rows)

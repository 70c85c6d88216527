"""How large must a fault be until rldk names it, and how near do healthy runs come to an alarm?

`python benchmarks/detection/power.py [--base INDEX.csv] [--seed S] [--family F] [--json FILE] [--page]` puts
faults of known size into healthy logs (`injection/`), judges each log in this process as a live run is
judged, and prints the tables of docs/power.md. `--page` keeps the numbers in power.json and writes the page.
`--quick` takes a few of the project's own logs a family. `--check` exits 1 if a healthy run gives an alarm
or comes nearer to one than `MARGIN`, or if the page is not that of power.json.

A fault is *named* if a rule that its family expects stands in the diagnosis at the level that is due. A log
in which such a finding stands already is left out of that family.
"""

import argparse
import json
import random
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from injection import FAMILIES, PATTERNS, inject, is_hidden, seed_of, vary
from injection.base import LEAST, Base, generated, labelled, public
from power_tables import Outcome, summarize, tables
from rich.console import Console
from rich.progress import track
from score import CORPUS, into

from rldk.health import RunContext, Settings, Severity, diagnose
from rldk.health.monitor import Monitor
from rldk.health.observation import Observation

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "power.json"
PAGE = HERE.parent.parent / "docs" / "power.md"
MARK = "power.py"
ONSETS = (0.3, 0.6)
LIMIT = 8
"""Logs of each source that a family is put into."""
GENERATED = 300
"""Generated healthy runs."""
MARGIN = 0.05
"""How far the score of a healthy run must stay below 1, the warning."""


class Judged(NamedTuple):
    """What rldk says of a log, live and at the end."""

    findings: dict[str, Severity]
    """The findings of the diagnosis."""
    alerts: list[tuple[str, Severity, int]]
    """Rule, severity and train record of each live alert."""
    scores: dict[str, float]

    def alarms(self, allowed: Iterable[str]) -> tuple[str, ...]:
        """The rules, but those allowed, that alerted at warning or above at any time."""
        loud = {rule for rule, severity, _ in self.alerts if severity >= Severity.WARNING}
        return tuple(sorted(loud.difference(allowed)))


def raise_scores(largest: dict[str, float], monitor: Monitor) -> None:
    """Raise the largest score of each rule to that of the newest record; 1 is the warning."""
    # The one place that knows how a rule shows its score; one that judges by other means stays at 0.
    for rule in monitor.rules:
        if rule.score > largest.get(rule.name, 0.0):
            largest[rule.name] = rule.score


def judge(
    context: RunContext,
    records: Iterable[Observation],
    settings: Settings | None = None,
    *,
    with_scores: bool = False,
) -> Judged:
    """Judge a log record by record.

    Raises:
        SystemExit: a rule raised.
    """
    monitor = (settings or Settings()).monitor(context)
    alerts = [(one.rule.name, one.verdict.severity, 0) for one in monitor.begin()]
    at, scores = -1, dict[str, float]()
    for record in records:
        at += record.phase == "train"
        alerts += [(one.rule.name, one.verdict.severity, max(at, 0)) for one in monitor.observe(record)]
        if with_scores:
            raise_scores(scores, monitor)
    if monitor.failed:
        raise SystemExit(f"rules failed: {monitor.failed}")
    findings = {one.rule: Severity.of(one.severity) for one in diagnose(monitor).findings}
    return Judged(findings, alerts, scores)


def plain_context(base: Base) -> RunContext:
    """The context of a log with something in it: the options are those of the run that it was."""
    return RunContext(algorithm=base.context.algorithm, dialect=base.context.dialect)


def healthy(base: Base) -> Outcome:
    """The log as it was recorded, with its options."""
    judged = judge(base.context, base.records, base.settings, with_scores=True)
    return _of_health("healthy", "", base, judged)


def pattern(base: Base, name: str, seed: int) -> Outcome:
    """The log with a pattern of health in it."""
    judged = judge(plain_context(base), vary(base, name, seed).records, with_scores=True)
    return _of_health("pattern", name, base, judged)


def _of_health(kind: str, name: str, base: Base, judged: Judged) -> Outcome:
    scores = {rule: score for rule, score in judged.scores.items() if rule not in base.allowed}
    return Outcome(kind, name, 0.0, base, "quiet", False, False, None, judged.alarms(base.allowed), scores)


def fault(base: Base, name: str, magnitude: float, onset: float, seed: int) -> Outcome:
    """The log with a fault in it."""
    family = FAMILIES[name]
    right = family.verdict(magnitude)
    if right == "due" and is_hidden(base, name, magnitude):
        right = "between"
    injected = inject(base, name, magnitude, onset, seed)
    judged = judge(plain_context(base), injected.records)
    level = Severity.of(family.level)
    found = {judged.findings[rule] for rule in family.expected & judged.findings.keys()}
    delays = [
        at - injected.onset
        for rule, severity, at in judged.alerts
        if rule in family.expected and severity >= level and at >= injected.onset
    ]
    false = set(judged.alarms(base.allowed)) & family.expected if right == "quiet" else set()
    return Outcome(
        "fault",
        name,
        magnitude,
        base,
        right,
        any(severity >= level for severity in found),
        bool(found),
        min(delays, default=None),
        tuple(sorted(false)),
        {},
    )


def measure(bases: list[Base], families: list[str], limit: int, seed: int) -> Iterator[Outcome]:
    """Every healthy log, every pattern, every fault."""
    for base in bases:
        yield healthy(base)
    able = [base for base in bases if base.kind and len(base.train) >= LEAST and not base.is_spare]
    found = {base.name: judge(plain_context(base), base.records).findings for base in able}
    for name, one in PATTERNS.items():
        for base in able:
            if one.fits(base):
                yield pattern(base, name, seed)
    for name in families:
        family = FAMILIES[name]
        level = Severity.of(family.level)
        for base in chosen([base for base in able if family.fits(base)], name, limit, seed):
            if any(found[base.name].get(rule, 0) >= level for rule in family.expected):
                continue
            for onset in ONSETS if family.has_onset else (0.0,):
                for magnitude in family.magnitudes:
                    yield fault(base, name, magnitude, onset, seed)


def chosen(bases: list[Base], name: str, limit: int, seed: int) -> list[Base]:
    """At most so many bases of each source, others for each family and seed."""
    shuffled = list(bases)
    random.Random(seed_of(name, seed)).shuffle(shuffled)
    sources = dict.fromkeys(base.source for base in bases)
    return [one for source in sources for one in [b for b in shuffled if b.source == source][:limit]]


def nearer_than_margin(results: dict[str, Any]) -> list[str]:
    """The rules that a healthy run or a pattern brings nearer to a warning than the margin, and the false
    alarms on healthy runs.
    """
    near = [
        f"{rule}: {score:.3f} on {where}"
        for rule, (score, where) in results["scores"].items()
        if score > 1 - MARGIN
    ]
    return near + [alarm for one in results["healthy"].values() for alarm in one["alarms"]]


def is_stale() -> bool:
    """Whether the page is not that of the kept numbers."""
    return tables(json.loads(RESULTS.read_text())) not in PAGE.read_text()


def main() -> int:
    """Inject, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--base", type=Path, action="append", help="healthy logs (default: the corpus)")
    parser.add_argument("--family", action="append", choices=FAMILIES, help="only this one; may be repeated")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, default=LIMIT, help="logs of each source a family")
    parser.add_argument("--json", type=Path, help="file to write the numbers to")
    parser.add_argument("--page", action="store_true", help="keep the numbers, write docs/power.md")
    parser.add_argument("--page-only", action="store_true", help="write the page of the kept numbers")
    parser.add_argument("--quick", action="store_true", help="only own logs, few of them")
    parser.add_argument("--check", action="store_true", help="exit 1 below the margin")
    options = parser.parse_args()
    if options.page_only:
        into(PAGE, MARK, tables(json.loads(RESULTS.read_text())))
        return 0
    lists = options.base or [index for index in (CORPUS / "INDEX.csv",) if index.exists()]
    bases = [base for one in ([] if options.quick else lists) for base in public(one)]
    bases += [*labelled(), *generated(GENERATED // 5 if options.quick else GENERATED, options.seed)]
    families = options.family or list(FAMILIES)
    limit = 1 if options.quick else options.limit
    judged = measure(bases, families, limit, options.seed)
    outcomes = track(judged, "judging", console=Console(stderr=True))
    results = summarize(outcomes) | {"date": str(datetime.now(UTC).date()), "seed": options.seed}
    text = tables(results)
    print(text)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.page:
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        into(PAGE, MARK, text)
    if options.check:
        wrong = nearer_than_margin(results) + ([f"{PAGE.name} is stale: power.py --page-only"] * is_stale())
        print("\n".join(wrong), file=sys.stderr)
        return int(bool(wrong))
    return 0


if __name__ == "__main__":
    sys.exit(main())

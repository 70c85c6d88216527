"""Scores rldk on the trainings that were recorded with everything on.

`python benchmarks/detection/score_inside.py [--markdown FILE] [-v]`. Exits 1 if a fault is missed, or named
without the samples that show it, or if a healthy run gives an alarm. It is scored as
in `score.py`: the alerts of the live run count, and what the doctor says of the files afterwards besides, of
which the end of a run is the most.
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from statistics import median

import msgspec
from inside.table import ROWS, Row, by_run
from score import Labelled, Said, Scored, into, score, table

from rldk.doctor.judge import diagnosis_of
from rldk.health import Severity
from rldk.runs import open_run

HERE = Path(__file__).resolve().parent
RUNS = HERE / "inside" / "runs"


class Judged(msgspec.Struct, frozen=True):
    """A run, and what rldk made of it."""

    row: Row
    scored: Scored
    shown: dict[str, int]
    """Samples of each finding that has some, by rule."""
    told: tuple[str, ...]
    """The messages of the findings that are right."""
    besides: tuple[str, ...]
    """Rules that alerted at warning or above and that the label does not know."""

    @property
    def outcome(self) -> str:
        """As that of `Scored`; of what is named also `other words`, or `not linked` without a sample."""
        if self.scored.outcome != "named":
            return self.scored.outcome
        if not any(self.row.says in message for message in self.told):
            return "other words"
        bare = not any(self.shown.get(rule) for rule in self.row.expected)
        return "not linked" if self.row.linked and bare else "named"


def judged(name: str, row: Row) -> Judged:
    """Ask rldk about a stored run."""
    run = open_run(RUNS / name)
    monitor = run.settings().monitor(run.context())
    alerts = {one.rule.name: Said(one.rule.name, one.verdict.severity.word, 0) for one in monitor.begin()}
    steps = []
    for at in run.observations():
        for one in monitor.observe(at):
            alerts = _with(alerts, Said(one.rule.name, one.verdict.severity.word, at.step))
        if at.kind == "log" and at.phase == "train":
            steps.append(at.step)
    if monitor.failed:
        raise SystemExit(f"{name}: rules failed: {monitor.failed}")
    findings = diagnosis_of(run, monitor).findings
    for finding in findings:
        alerts = _with(alerts, Said(finding.rule, finding.severity, finding.first_step))
    told = {finding.rule for finding in findings}
    said = [one for one in alerts.values() if one.severity != "info" or one.rule in told]
    label = Labelled(
        name=name,
        kind="inside",
        group=row.name,
        path=RUNS / name,
        verdict="ill" if row.fault else "healthy",
        expected=row.expected,
        also_true=row.also_true,
        level=row.level,
        onset=row.onset,
        abrupt=None,
        truth_metric=row.truth,
    )
    known = row.expected | row.also_true
    besides = [str(one.rule) for one in said if one.severity != "info" and one.rule not in known]
    shown = {finding.rule: len(finding.samples) for finding in findings if finding.samples}
    messages = tuple(finding.message for finding in findings if finding.rule in row.expected)
    return Judged(row, score(label, said, steps), shown, messages, tuple(besides) if row.fault else ())


def _with(alerts: dict[str | None, Said], new: Said) -> dict[str | None, Said]:
    """The alerts with one more: of a rule the worst counts, and of two alike the first."""
    old = alerts.get(new.rule)
    better = old is None or Severity.of(new.severity) > Severity.of(old.severity)
    return alerts | {new.rule: new} if better else alerts


def all_judged() -> list[Judged]:
    """Every stored run of the table."""
    return [judged(name, row) for name, row in by_run().items()]


def faults(runs: list[Judged]) -> str:
    """A line a fault."""
    lines = []
    for row in ROWS:
        ones = [one for one in runs if one.row is row]
        if not row.fault or not ones:
            continue
        outcomes = Counter(one.outcome for one in ones)
        delays = [one.scored.delay for one in ones if one.scored.delay is not None]
        right = dict.fromkeys(name for one in ones for name in one.scored.by.split(", ") if name)
        samples = sum(one.shown.get(rule, 0) for one in ones for rule in right)
        lines.append(
            (
                row.fault,
                f"{row.trainer.upper()}, TRL {row.trl}",
                ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()),
                ", ".join(right),
                f"{median(delays):g}" if delays else "",
                samples or "",
                ", ".join(dict.fromkeys(name for one in ones for name in one.besides)),
            )
        )
    head = [
        "what was done",
        "trained with",
        "outcome",
        "rules",
        "delay, records",
        "linked samples",
        "besides",
    ]
    return table("Faults", head, lines)


def healthy(runs: list[Judged]) -> str:
    """What was said of the healthy runs."""
    ones = [one for one in runs if not one.row.fault]
    false = [one for one in ones if one.outcome != "silent"]
    names = ", ".join(dict.fromkeys(one.row.name.removeprefix("well-") for one in ones))
    lines = [f"{len(false)} of {len(ones)} healthy runs gave an alarm: {names}."]
    lines += [f"- {one.scored.run.name}: {one.scored.by}" for one in false]
    return "\n".join(["### Healthy runs", "", *lines, ""])


def main() -> int:
    """Ask, score, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--markdown", type=Path, help="page to put the tables into, between its marks")
    parser.add_argument("-v", "--verbose", action="store_true", help="print each run that went wrong")
    options = parser.parse_args()
    runs = all_judged()
    bad = [one for one in runs if one.outcome not in ("named", "silent")]
    for one in bad if options.verbose else ():
        print(
            one.scored.run.name, "|", one.outcome, "|", one.scored.by, "| expected", sorted(one.row.expected)
        )
    ill = [one for one in runs if one.row.fault]
    linked = [one for one in ill if one.row.linked]
    named = sum(one.outcome == "named" for one in ill)
    shown = sum(one.outcome == "named" for one in linked)
    first = (
        f"{named} of {len(ill)} faulty runs were named; of {len(linked)} whose fault samples can show, "
        f"{shown} with samples.\n"
    )
    text = "\n".join([first, faults(runs), healthy(runs)])
    print(text)
    if options.markdown:
        into(options.markdown, "score_inside.py", text)
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())

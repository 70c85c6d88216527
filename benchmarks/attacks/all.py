"""Runs the attacks in one or more environments and writes docs/reliability.md: `python all.py --python PATH`.

The results are kept in results.json, the newest by attack and TRL, so that a part may be run again.
Invariant: each number of the page's tables comes from there, with its date, versions and commit.
"""

import argparse
import json
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RESULTS = HERE / "results.json"
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- all.py writes from here -->", "<!-- to here -->"
COMPARISON = "without rldk"
"""A case whose name ends so shows what happens anyway."""


class Attack(NamedTuple):
    """A row of the first table."""

    promise: str
    how: str
    unit: str
    """Of what is counted."""


ATTACKS = {
    "kill_writer": Attack(
        "A record whose write has returned survives the death of the process.",
        "SIGKILL to processes that write as fast as they can",
        "kills",
    ),
    "kill_loop": Attack(
        "A record whose `run.log` has returned survives the death of the process, in any loop.",
        "SIGKILL to loops that log as fast as they can, then a resume",
        "kills",
    ),
    "kill_training": Attack(
        "A killed training that resumes is one run, with every step once.",
        "SIGKILL to real trainings at random moments, then a resume",
        "kills",
    ),
    "signals": Attack(
        "A signal costs no record, and ends the process with the status that it has without rldk.",
        "SIGTERM, SIGHUP and SIGINT to real trainings at random moments, then a resume",
        "signals",
    ),
    "errors": Attack(
        "A disk that refuses costs no record and no training.",
        "errors and short writes injected into 30 % or 50 % of the calls on the log folder",
        "trainings of 300 steps",
    ),
    "hang": Attack(
        "A disk that hangs holds no step for longer than 0.5 s.",
        "a log folder whose calls do not return for some seconds",
        "trainings",
    ),
    "identity": Attack(
        "A training with rldk is the training without it, bit by bit.",
        "every trainer of TRL, with rldk and without",
        "pairs of trainings",
    ),
    "children": Attack(
        "A training may start processes in every usual way.",
        "pools, mapped datasets, workers, programs and launchers in real trainings",
        "trainings",
    ),
    "planted_secrets": Attack(
        "A secret that rldk knows by its name or its shape is in no file.",
        "generated configurations, texts and command lines with secrets in them",
        "examples",
    ),
    "evaluations": Attack(
        "Trainers that only evaluate hold no file and no thread.",
        "many of them in one process",
        "trainers",
    ),
}


def attack(name: str, python: str, *, full: bool, seed: int) -> dict[str, Any]:
    """Run a command in an environment; its report, with the date and the seed.

    Raises:
        SystemExit: it printed no report.
    """
    command = [python, str(HERE / f"{name}.py"), f"--seed={seed}", *(["--full"] if full else [])]
    print(f"{name} with {python}", file=sys.stderr, flush=True)
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        report = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"{' '.join(command)} ended with {done.returncode} and printed no report") from None
    return report | {"date": str(datetime.now(UTC).date()), "seed": seed}


def commit() -> str:
    """The commit that is checked out, and whether code differs from it."""
    head = _git("rev-parse", "--short=8", "HEAD")
    changed = _git(
        "status", "--porcelain", "--", "src", "tests", "benchmarks", f":!{RESULTS.relative_to(ROOT)}"
    )
    return f"{head}, changed" if changed else head


def _git(*arguments: str) -> str:
    asked = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def shown(name: str, number: float) -> str:
    """A number with its name: "records: 1,200", "longest: 0.2 s"."""
    what, _, unit = name.rpartition(" ")
    return f"{what}: {number:,g} s" if unit == "s" else f"{name}: {number:,}"


def numbers(cases: list[dict[str, float]]) -> dict[str, float]:
    """Several cases as one: whole numbers add up, of others the largest counts, and medians are left out."""
    merged: dict[str, float] = {}
    for case in cases:
        for name, number in case.items():
            if name.startswith("median"):
                continue
            before = merged.get(name, 0)
            merged[name] = before + number if isinstance(number, int) else max(before, number)
    return merged


def listed(found: dict[str, float]) -> str:
    """All numbers but the tries."""
    return "; ".join(shown(name, number) for name, number in found.items() if name != "tries")


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


def summary(results: dict[str, dict[str, Any]]) -> str:
    """One row for each attack."""
    rows = []
    for name, about in ATTACKS.items():
        reports = results.get(name)
        if not reports:
            rows.append([about.promise, about.how, "0", "not attacked yet"])
            continue
        cases = [
            case
            for report in reports.values()
            for title, case in report["cases"].items()
            if not title.endswith(COMPARISON)
        ]
        found = numbers(cases)
        broken = sum(len(report["failures"]) for report in reports.values())
        verdict = f"**broken {broken} times**" if broken else "kept"
        rows.append(
            [
                about.promise,
                about.how,
                f"{found.get('tries', 0):,} {about.unit}",
                f"{verdict}; {listed(found)}",
            ]
        )
    return table(["promised", "attacked by", "how often", "result"], rows)


def details(name: str, reports: dict[str, Any]) -> str:
    """One row for each case of an attack and each TRL, and what was broken."""
    cases = [(title, trl, case) for trl, report in reports.items() for title, case in report["cases"].items()]
    cases.sort(key=lambda one: one[:2])
    rows = [[title, trl, f"{case.get('tries', 0):,}", listed(case)] for title, trl, case in cases]
    about = [
        f"TRL {trl}: {report['date']}, commit {report['commit']}, Python {report['versions']['python']}, "
        f"torch {report['versions']['torch']}, transformers {report['versions']['transformers']}, "
        f"{report['seconds']:,} s."
        for trl, report in sorted(reports.items(), reverse=True)
    ]
    broken = [
        f"- TRL {trl}: {failure.splitlines()[0]}"
        for trl, report in sorted(reports.items(), reverse=True)
        for failure in report["failures"]
    ]
    command = f"`python benchmarks/attacks/{name}.py`"
    parts = [f"### {name}", command, table(["case", "TRL", ATTACKS[name].unit, "result"], rows)]
    if broken:
        parts.append("Broken:\n\n" + "\n".join(broken))
    return "\n\n".join([*parts, "\n".join(about)])


def write_page(results: dict[str, dict[str, Any]]) -> None:
    """Put the tables between the marks of the page."""
    before, found, rest = PAGE.read_text().partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not (found and ended):
        raise SystemExit(f"{PAGE} has not the marks {BEGIN} and {END}")
    parts = [summary(results), *(details(name, results[name]) for name in ATTACKS if name in results)]
    text = "\n\n".join(parts)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")


def main() -> int:
    """Attack, keep the results, write the page; 1 where a promise was broken in one of these runs."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", action="append", help="an environment's interpreter; may be repeated")
    parser.add_argument("--only", action="append", choices=ATTACKS, help="this attack; may be repeated")
    parser.add_argument("--full", action="store_true", help="with the counts of the page")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page-only", action="store_true", help="attack nothing, write the page anew")
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    is_broken = False
    began, checked_out = time.monotonic(), commit()
    for name in () if options.page_only else options.only or ATTACKS:
        for python in options.python or [sys.executable]:
            report = attack(name, python, full=options.full, seed=options.seed)
            results.setdefault(name, {})[report["versions"]["trl"]] = report | {"commit": checked_out}
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            is_broken |= bool(report["failures"])
    write_page(results)
    print(f"{PAGE} written, {time.monotonic() - began:.0f} s", file=sys.stderr)
    return int(is_broken)


if __name__ == "__main__":
    sys.exit(main())

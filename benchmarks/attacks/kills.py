"""What the kills of processes that record as fast as they can share: scripts of the tests, and their counts.

Invariant: a record or a line that is missing, doubled or unreadable is a failure.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attack import ROOT, Report, chosen_cases, options, temporary_folder
from fork_server import environment

FAULTS = ("missing", "doubled", "unreadable")


def attack_by_kills(
    doc: str, name: str, cases: dict[str, str], records: str, *, quick: int, full: int
) -> None:
    """Kill processes of `tests/{name}.py` in some cases, and report what that cost.

    Args:
        doc: the docstring of the command.
        name: the name of the attack, and of its script.
        cases: the script's mode by case.
        records: what the report calls the records that are promised: "records written".
        quick: how many kills a quick look takes.
        full: how many kills the page of the documentation reports.
    """
    given = options(doc, quick=quick, full=full, what="kills")
    report = Report(name)
    chosen = chosen_cases(cases, given.only)
    kills = given.count // len(chosen)
    with temporary_folder() as folder, ThreadPoolExecutor(given.jobs) as pool:
        tasks = [
            pool.submit(_kill, case, mode, records, kills, given.seed + number, folder / str(number), report)
            for number, (case, mode) in enumerate(chosen.items())
        ]
        for task in tasks:
            task.result()
    report.end()


def _kill(case: str, mode: str, records: str, kills: int, seed: int, folder: Path, report: Report) -> None:
    """Kill so many processes of one case, and count what that cost."""
    script = ROOT / "tests" / f"{report.attack}.py"
    done = subprocess.run(
        [sys.executable, script, folder, str(kills), mode, str(seed)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        report.fail(case, f"{script.name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return
    found = json.loads(done.stdout)
    faults = {name: found[name] for name in FAULTS}
    promised = {records: found["returned"]}
    report.count(case, tries=kills, **promised, **faults, torn_while_written=found["torn"])
    for name, count in faults.items():
        if count:
            report.fail(case, f"{count} records or lines are {name}")

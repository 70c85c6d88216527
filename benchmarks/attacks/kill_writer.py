"""Kills processes that write records as fast as they can: `python kill_writer.py [KILLS]`.

Ten processes after each other write to one run; each is killed by SIGKILL some milliseconds after its first
record. Promised: a record whose write had returned is never missing, doubled or torn. Of the record that
was being written the beginning may be there, as a line that readers skip.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attack import ROOT, Report, chosen_cases, options, temporary_folder
from fork_server import environment

WRITER = ROOT / "tests" / "kill_writer.py"
CASES = {
    "plain": "plain",
    "rotation": "parts",
    "rotation and gzip, parts of 20 kB": "rotating",
    "rotation and gzip, parts of 1 MB": "large parts",
    "3,000 metrics a record": "wide",
    "3,000 metrics a record, rotation and gzip": "wide rotating",
}


def kill(case: str, kills: int, seed: int, folder: Path, report: Report) -> None:
    """Kill so many processes of one mode of the writer, and count what that cost."""
    done = subprocess.run(
        [sys.executable, WRITER, folder, str(kills), CASES[case], str(seed)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        report.fail(case, f"{WRITER.name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return
    found = json.loads(done.stdout)
    faults = {name: found[name] for name in ("missing", "doubled", "unreadable")}
    report.count(
        case, tries=kills, records_written=found["returned"], **faults, torn_while_written=found["torn"]
    )
    for name, count in faults.items():
        if count:
            report.fail(case, f"{count} records or lines are {name}")


def main() -> None:
    given = options(__doc__, quick=60, full=510, what="kills")
    report = Report("kill_writer")
    cases = chosen_cases(CASES, given.only)
    with temporary_folder() as folder, ThreadPoolExecutor(given.jobs) as pool:
        tasks = []
        for number, case in enumerate(cases):
            place = folder / str(number)
            kills = given.count // len(cases)
            tasks.append(pool.submit(kill, case, kills, given.seed + number, place, report))
        for task in tasks:
            task.result()
    report.end()


if __name__ == "__main__":
    main()

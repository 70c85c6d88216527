"""Kills training loops that `rldk.record` records: `python kill_loop.py [KILLS]`.

A loop logs as fast as it can and is killed by SIGKILL some milliseconds after its first record; another one
resumes its run at a step before that, and is killed too. Promised: a record whose `log` had returned is never
missing, doubled or torn. Of the record that was being written the beginning may be there, as a line that
readers skip.
"""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attack import ROOT, Report, chosen_cases, options, temporary_folder
from fork_server import environment

LOOP = ROOT / "tests" / "kill_loop.py"
CASES = {
    "no rules": "no rules",
    "all rules": "all rules",
    "all rules and resources": "resources",
    "rotation and gzip, parts of 20 kB": "parts",
}


def kill(case: str, kills: int, seed: int, folder: Path, report: Report) -> None:
    """Kill so many loops of one mode, and count what that cost."""
    done = subprocess.run(
        [sys.executable, LOOP, folder, str(kills), CASES[case], str(seed)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        report.fail(case, f"{LOOP.name} ended with {done.returncode}:\n{done.stderr[-2000:]}")
        return
    found = json.loads(done.stdout)
    faults = {name: found[name] for name in ("missing", "doubled", "unreadable")}
    report.count(
        case, tries=kills, records_logged=found["returned"], **faults, torn_while_written=found["torn"]
    )
    for name, count in faults.items():
        if count:
            report.fail(case, f"{count} records or lines are {name}")


def main() -> None:
    given = options(__doc__, quick=40, full=400, what="kills")
    report = Report("kill_loop")
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

"""Lets the disk of the log folder hang in the middle of a training: `python hang.py [SECONDS]`.

A preloaded library holds each call on the folder for some seconds: those that change something, as a frozen
file system does, or all, as a dead NFS server does. Promised: no step takes longer than 0.5 s, and all
records are there afterwards.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attack import Report, chosen_cases, options, temporary_folder
from fork_server import start_fresh

from faulty_disk import FaultyDisk
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

LONGEST_S = 0.5
PAUSE_S = 0.05
CASES = {
    "calls that change something": {"recorded": True, "reads": False},
    "all calls": {"recorded": True, "reads": True},
    "all calls, without rldk": {"recorded": False, "reads": True},
}


def train(case: str, seconds: int, folder: Path, report: Report) -> None:
    """One training whose disk hangs, and how long its steps were."""
    (folder / "logs").mkdir(parents=True)
    disk = FaultyDisk(folder / "logs", folder / "control")
    more = disk.environment()
    script = start_fresh(
        "train_on_hanging_disk", folder, more=more, hang_s=seconds, pause_s=PAUSE_S, **CASES[case]
    )
    status = script.end(120.0 + 4 * seconds)
    if status:
        report.fail(case, f"the training ended with {status}:\n{script.output()}")
        return
    longest = max(json.loads((folder / "steps.json").read_text()))
    report.count(case, tries=1, seconds_of_hanging=float(seconds), longest_step_s=float(longest))
    if not CASES[case]["recorded"]:
        return
    history = json.loads((folder / "history.json").read_text())
    logged = [row["step"] for row in history if "loss" in row]
    run = RecordedRun(RunFiles(folder / "logs", "r"))
    recorded = [event.step for event in run if event.phase == "train"]
    report.count(case, records=len(recorded), missing=len(set(logged) - set(recorded)))
    if recorded != logged or run.bad_count:
        report.fail(case, f"{len(logged)} steps were logged, {len(recorded)} are recorded")
    if longest > LONGEST_S:
        report.fail(case, f"the longest step took {longest:.2f} s")


def main() -> None:
    given = options(__doc__, quick=5, full=25, what="seconds")
    report = Report("hang")
    cases = chosen_cases(CASES, given.only)
    with temporary_folder() as folder, ThreadPoolExecutor(given.jobs) as pool:
        tasks = [
            pool.submit(train, case, given.count, folder / str(number), report)
            for number, case in enumerate(cases)
        ]
        for task in tasks:
            task.result()
    report.end()


if __name__ == "__main__":
    main()

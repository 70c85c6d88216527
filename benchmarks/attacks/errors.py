"""Injects errors into the log folder of real trainings: `python errors.py [TRAININGS]`.

A preloaded library lets 30 % or 50 % of the calls write, fdatasync, fsync, rename, unlink and open fail
(ENOSPC, EIO, EDQUOT, EROFS, ESTALE, short writes), from step 5 or from the start on, up to step 250 of 300.
Promised: the training ends as ever, and no record is missing, doubled or wrong.
"""

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attack import Report, chosen_cases, options, temporary_folder
from fork_server import start_fresh

from faulty_disk import FaultyDisk
from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles, runs_in

STEPS = 300
ROTATION = {"rotate_mb": 0.02, "compress": True}
CASES = {
    f"{share:.0%} of the calls {since}{', rotation and gzip' if rotation else ''}": (share, step, rotation)
    for share in (0.3, 0.5)
    for since, step in (("from step 5 on", 5), ("from the start on", 0))
    for rotation in ({}, ROTATION)
}


def train(case: str, seed: int, folder: Path, report: Report) -> None:
    """One training on a faulty disk, and what became of its records."""
    share, from_step, rotation = CASES[case]
    (folder / "logs").mkdir(parents=True)
    disk = FaultyDisk(folder / "logs", folder / "control")
    script = start_fresh(
        "train_on_faulty_disk",
        folder,
        more=disk.environment(seed),
        steps=STEPS,
        share=share,
        from_step=from_step,
        until_step=STEPS - 50,
        pause_s=0.02,
        options=rotation,
    )
    status = script.end(300.0)
    report.count(case, tries=1)
    if status:
        report.fail(case, f"seed {seed}: the training ended with {status}:\n{script.output()}")
        return
    history = json.loads((folder / "history.json").read_text())
    logged = {row["step"]: row["loss"] for row in history if "loss" in row}
    run = RecordedRun(RunFiles(folder / "logs", "r"))
    recorded = [(event.step, event.metrics.get("loss")) for event in run if event.phase == "train"]
    steps = [step for step, _ in recorded]
    numbers = {
        "missing": len(set(logged) - set(steps)),
        "doubled": len(steps) - len(set(steps)),
        "wrong": sum(logged.get(step) != loss for step, loss in recorded),
        "bad_lines": run.bad_count,
        "other_runs": sum(files.run_id != "r" for files in runs_in(folder / "logs")),
    }
    report.count(case, records=len(steps), **numbers)
    for name, count in numbers.items():
        if count:
            report.fail(case, f"seed {seed}: {count} {name.replace('_', ' ')}\n{script.output()}")


def main() -> None:
    given = options(__doc__, quick=4, full=10, what="trainings")
    report = Report("errors")
    cases = itertools.cycle(chosen_cases(CASES, given.only))
    with temporary_folder() as folder, ThreadPoolExecutor(given.jobs) as pool:
        tasks = [
            pool.submit(train, next(cases), given.seed + number, folder / str(number), report)
            for number in range(given.count)
        ]
        for task in tasks:
            task.result()
    report.end()


if __name__ == "__main__":
    main()

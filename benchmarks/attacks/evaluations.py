"""Makes many trainers that only evaluate, in one process: `python evaluations.py [TRAINERS]`.

Each has a new callback and is thrown away, as in a loop over checkpoints. Promised: the process has as many
open files and threads at the end as after the first ten.
"""

import json

from attack import Report, options, temporary_folder
from fork_server import start_fresh

CASE = "evaluate and throw away"


def main() -> None:
    given = options(__doc__, quick=100, full=1_000, what="trainers")
    report = Report("evaluations")
    with temporary_folder() as folder:
        script = start_fresh("evaluate_often", folder, trainers=given.count)
        status = script.end(3_600.0)
        if status:
            report.fail(CASE, f"the script ended with {status}:\n{script.output()}")
            report.end()
        before, after = json.loads((folder / "resources.json").read_text())
        added = [now - then for then, now in zip(before, after, strict=True)]
        report.count(CASE, tries=given.count, open_files_added=added[0], threads_added=added[1])
        for what, number in zip(("open files", "threads"), added, strict=True):
            if number > 0:
                report.fail(CASE, f"{number} more {what} after {given.count - 10} more trainers")
    report.end()


if __name__ == "__main__":
    main()

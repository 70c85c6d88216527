"""Kills real trainings with SIGKILL at random moments and resumes them: `python kill_training.py [KILLS]`.

Each training saves, is killed before, in and behind steps, saves and its beginning and end, and goes on
from its newest whole checkpoint as one run. Promised: no record that was logged is missing, doubled or
torn, the run is found each time, and no process outlives the training.
"""

import signal

from attack import Report, chosen_cases, options, temporary_folder
from lives import Ending, end_trainings

CASES = {
    "plain": {},
    "rotation and gzip": {"rotate_mb": 0.01, "compress": True},
}


def main() -> None:
    given = options(__doc__, quick=20, full=150, what="kills")
    report = Report("kill_training")
    cases = chosen_cases(CASES, given.only)
    endings = [
        (Ending(name, signal.SIGKILL, "line", recorded=True, options=settings), given.count // len(cases))
        for name, settings in cases.items()
    ]
    with temporary_folder() as folder:
        end_trainings(endings, folder, report, seed=given.seed, jobs=given.jobs)
    report.end()


if __name__ == "__main__":
    main()

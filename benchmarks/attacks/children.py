"""Trains while the training starts processes of its own: `python children.py [TRAININGS OF EACH POOL]`.

A pool of processes in a reward function, `dataset.map`, workers of a DataLoader, programs, forked children
that are terminated at once, launchers of accelerate. Promised: each training ends with the status that it
has without rldk, and every step is recorded once.
"""

import itertools
import random
from pathlib import Path
from typing import Any, NamedTuple

from attack import Report, chosen_cases, options, temporary_folder
from fork_server import ALONE_WITHIN_S, ForkServer, on_servers

from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles


class Case(NamedTuple):
    """A script, its arguments, and how many steps it does."""

    script: str
    arguments: dict[str, Any]
    steps: int
    is_repeated: bool = False
    """Whether the command's count says how often it runs; else it runs once."""
    recorded_steps: int | None = None
    """Where it does not come to its end."""


CASES = {
    "Pool(2) in a reward function": Case("score_in_pool", {"processes": 2}, 150, is_repeated=True),
    "Pool(4) in a reward function": Case("score_in_pool", {"processes": 4}, 150, is_repeated=True),
    "a forked child, terminated at once": Case("fork_and_terminate", {}, 300),
    "dataset.map(num_proc=2)": Case("map_data", {}, 50),
    "DataLoader with 2 workers": Case("load_data", {}, 100),
    "subprocess": Case("start_programs", {"preexec": False}, 50),
    "subprocess with preexec_fn": Case("start_programs", {"preexec": True}, 50),
    "notebook_launcher": Case("launch", {"launcher": "notebook", "crash": False}, 20),
    "notebook_launcher, an exception": Case(
        "launch", {"launcher": "notebook", "crash": True}, 20, recorded_steps=10
    ),
    "debug_launcher": Case("launch", {"launcher": "debug", "crash": False}, 20),
    "debug_launcher, an exception": Case(
        "launch", {"launcher": "debug", "crash": True}, 20, recorded_steps=10
    ),
}


class Outcome(NamedTuple):
    """What one training came to."""

    case: str
    recorded: bool
    status: int
    output: str
    """The end of what it wrote."""
    steps: list[int]
    """Those that are recorded."""
    bad_lines: int
    processes_left: int
    """Those that outlive it."""


def train(server: ForkServer, name: str, folder: Path, *, recorded: bool) -> Outcome:
    """One training of a case."""
    case = CASES[name]
    folder.mkdir()
    script = server.start(case.script, folder, recorded=recorded, steps=case.steps, **case.arguments)
    status = script.end(900.0)
    left = script.count_outliving(ALONE_WITHIN_S)
    run = RecordedRun(RunFiles(folder / "logs", "r"))
    steps = [event.step for event in run if event.phase == "train"]
    return Outcome(name, recorded, status, script.output(), steps, run.bad_count, left)


def check(one: Outcome, without: int, report: Report) -> None:
    """Count what a training with rldk came to; `without` is the status that it has without."""
    case = CASES[one.case]
    expected = list(range(1, (case.recorded_steps or case.steps) + 1))
    report.count(
        one.case,
        tries=1,
        another_status=int(one.status != without),
        records=len(one.steps),
        missing=len(set(expected) - set(one.steps)),
        processes_left=one.processes_left,
    )
    if one.status != without:
        end = f"it ended with {one.status} after step {one.steps[-1:]}, without rldk with {without}"
        report.fail(one.case, f"{end}:\n{one.output}")
    elif one.steps != expected or one.bad_lines:
        report.fail(one.case, f"the recorded steps are {one.steps}, with {one.bad_lines} bad lines")
    if one.processes_left:
        report.fail(one.case, f"{one.processes_left} processes outlive it")


def main() -> None:
    given = options(__doc__, quick=1, full=20, what="trainings of each pool")
    report = Report("children")
    tasks = []
    for name in chosen_cases(CASES, given.only):
        count = given.count if CASES[name].is_repeated else 1
        tasks += [(name, False), *[(name, True)] * count]
    outcomes: list[Outcome] = []
    with temporary_folder() as folder:
        numbers = itertools.count()

        def work(server: ForkServer, task: tuple[str, bool], _: random.Random) -> None:
            name, recorded = task
            outcomes.append(train(server, name, folder / f"training{next(numbers)}", recorded=recorded))

        on_servers(tasks, work, folder, seed=given.seed, jobs=given.jobs)
    without = {one.case: one.status for one in outcomes if not one.recorded}
    for one in outcomes:
        if one.recorded:
            check(one, without[one.case], report)
    report.end()


if __name__ == "__main__":
    main()

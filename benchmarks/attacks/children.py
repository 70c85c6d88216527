"""Trains while the training starts processes of its own: `python children.py [TRAININGS OF EACH POOL]`.

A pool of processes in a reward function, `dataset.map`, workers of a DataLoader, programs, forked children
that are terminated at once, launchers of accelerate. Promised: each training ends with the status that it
has without rldk, and every step is recorded once.
"""

import random
from pathlib import Path
from typing import Any, NamedTuple

from attack import Report, chosen_cases, options, temporary_folder
from fork_server import ForkServer, on_servers

from rldk.files import RunFiles
from rldk.runs import Run


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


def train(server: ForkServer, name: str, folder: Path, report: Report, without: int) -> None:
    """One training with rldk; `without` is the status that it has without."""
    case = CASES[name]
    folder.mkdir()
    script = server.start(case.script, folder, recorded=True, steps=case.steps, **case.arguments)
    status = script.end(900.0)
    run = Run(RunFiles(folder / "logs", "r"))
    steps = [event.step for event in run if event.phase == "train"]
    expected = list(range(1, (case.recorded_steps or case.steps) + 1))
    left = script.descendants(10.0)
    report.count(
        name,
        tries=1,
        other_status=int(status != without),
        records=len(steps),
        missing=len(set(expected) - set(steps)),
        processes_left=len(left),
    )
    if status != without:
        text = f"it ended with {status} after step {steps[-1:]}, without rldk with {without}"
        report.fail(name, f"{text}:\n{script.output()}")
    elif steps != expected or run.bad_count:
        report.fail(name, f"recorded are the steps {steps}")
    if left:
        report.fail(name, f"{len(left)} processes outlive it")


def main() -> None:
    given = options(__doc__, quick=1, full=10, what="trainings of each pool")
    report = Report("children")
    without: dict[str, int] = {}
    names = [*chosen_cases(CASES, given.only)]
    with temporary_folder() as folder:

        def train_without(server: ForkServer, name: str, _: random.Random) -> None:
            case = CASES[name]
            place = folder / f"without {name}"
            place.mkdir()
            script = server.start(case.script, place, recorded=False, steps=case.steps, **case.arguments)
            without[name] = script.end(900.0)

        def train_with(server: ForkServer, task: tuple[str, int], _: random.Random) -> None:
            name, number = task
            train(server, name, folder / f"{name} {number}", report, without[name])

        tasks = [
            (name, number)
            for name in names
            for number in range(given.count if CASES[name].is_repeated else 1)
        ]
        on_servers(names, train_without, folder, seed=given.seed, jobs=given.jobs)
        on_servers(tasks, train_with, folder, seed=given.seed, jobs=given.jobs)
    report.end()


if __name__ == "__main__":
    main()

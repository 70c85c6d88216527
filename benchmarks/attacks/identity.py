"""Trains with every trainer of TRL, with rldk and without: `python identity.py [TRAININGS OF EACH]`.

Promised: the log history, the weights and the random states of Python, numpy and torch are the same bit by
bit, and every finite number that the trainer logged is in the records.
"""

import json
import math
import random
from pathlib import Path
from typing import Any

from attack import Report, options, temporary_folder
from fork_server import ForkServer, on_servers

from rldk.runs import RecordedRun
from rldk.schema.files import RunFiles

TIMES = ("eps", "time", "per_second", "flos")
"""Parts of the names of what a clock measured: `eps` is the episodes a second of PPO."""


def result(server: ForkServer, name: str, folder: Path, *, recorded: bool) -> dict[str, Any]:
    """What one training came to.

    Raises:
        RuntimeError: it failed.
    """
    folder.mkdir()
    server.run("train_with", folder, trainer=name, recorded=recorded)
    return json.loads((folder / "result.json").read_text())


def unclocked(history: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The log history without what depends on time, with numbers as exact text."""
    return [
        {key: repr(value) for key, value in row.items() if not any(part in key for part in TIMES)}
        for row in history
    ]


def missing(history: list[dict[str, Any]], folder: Path) -> list[str]:
    """The numbers that were logged and are not in the records."""
    events = list(RecordedRun(RunFiles(folder / "logs", "r")))
    if len(events) != len(history):
        return [f"{len(history)} logs, {len(events)} records"]
    return [
        f"{key} of step {row['step']}"
        for row, event in zip(history, events, strict=True)
        for key, value in row.items()
        if key != "step" and math.isfinite(value or 0) and value not in event.metrics.values()
    ]


def compare(server: ForkServer, name: str, folder: Path, report: Report) -> None:
    """One trainer with rldk and without."""
    try:
        without = result(server, name, folder / f"{name} without", recorded=False)
        with_rldk = result(server, name, folder / f"{name} with", recorded=True)
    except RuntimeError as error:
        report.fail(name, str(error))
        return
    history = with_rldk["history"]
    absent = missing(history, folder / f"{name} with")
    different = [key for key in ("weights", "random_states") if with_rldk[key] != without[key]]
    if unclocked(history) != unclocked(without["history"]):
        different.append("log history")
    numbers = sum(len(row) - 1 for row in history)
    report.count(name, tries=1, different=len(different), numbers_logged=numbers, missing=len(absent))
    report.count(name, hook_failures=with_rldk["hook_failures"])
    if different:
        report.fail(name, f"not the same: {', '.join(different)}")
    if absent:
        report.fail(name, f"not in the records: {', '.join(absent[:5])}")
    if with_rldk["hook_failures"]:
        report.fail(name, f"{with_rldk['hook_failures']} hooks failed")


def main() -> None:
    given = options(__doc__, quick=1, full=1, what="trainings with each trainer")
    report = Report("identity")
    with temporary_folder() as folder:

        def work(server: ForkServer, task: tuple[str, int], _: random.Random) -> None:
            name, number = task
            place = folder / f"{name} {number}"
            place.mkdir()
            compare(server, name, place, report)

        with ForkServer() as server:
            server.run("save_model", folder)
            server.run("list_trainers", folder)
        names = [
            name
            for name in json.loads((folder / "trainers.json").read_text())
            if not given.only or name in given.only
        ]
        tasks = [(name, number) for name in names for number in range(given.count)]
        on_servers(tasks, work, folder, seed=given.seed, jobs=given.jobs)
    report.end()


if __name__ == "__main__":
    main()

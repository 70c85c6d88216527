"""Reads every log of the corpus by `open_run`, with no hint, and compares with what its index says.

`python benchmarks/corpus.py [FOLDER]`, where FOLDER holds INDEX.csv and files/ (default: ../shared/corpus
beside the project). Prints a table of file, format found, dialect, algorithm, records and train rows
against the index, and then the runs that stand there in two formats, step by step. Exits 1 if a file
that holds metrics could not be read, or a count differs that is not explained in EXPLAINED.
"""

import argparse
import csv
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rldk.errors import RLDKError
from rldk.runs import Run, open_run

DEFAULT = Path(__file__).resolve().parent.parent.parent / "shared" / "corpus"
PAIRS = (("039", "041"), ("053", "054"), ("171", "177"), ("037", "181"))
"""The same run in two formats."""
EXPLAINED = {
    "148": "the index counts steps that hold an evaluation only",
    "151": "the index counts steps that hold an evaluation only",
    "177": "one record more: timings before the first step",
    "178": "the last record repeats the last step with the mean loss of the run",
    "181": "the last record repeats the last step with the mean loss of the run",
}
"""Why a count differs from the index."""


def main() -> int:
    """Read, print, judge."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT)
    folder = parser.parse_args().folder
    with (folder / "INDEX.csv").open(newline="") as file:
        index = list(csv.DictReader(file))
    table = Table("file", "format", "dialect", "algorithm", "records", "train", "index", "", box=None)
    runs: dict[str, Run] = {}
    unexplained = 0
    for row in track(index, "reading", console=Console(stderr=True)):
        path = folder / row["file"]
        try:
            run = open_run(path)
            phases = Counter(event.phase for event in run)
        except RLDKError as error:
            fine = row["train_rows"] == "0"
            unexplained += not fine
            table.add_row(
                path.name, "refused", "", "", "0", "0", row["train_rows"], "" if fine else str(error)
            )
            continue
        runs[row["id"]] = run
        differs = phases["train"] != int(row["train_rows"])
        why = EXPLAINED.get(row["id"], "NOT EXPLAINED") if differs else ""
        unexplained += why == "NOT EXPLAINED"
        cells = (
            run.format,
            run.dialect or "",
            run.algorithm or "",
            str(phases.total()),
            str(phases["train"]),
        )
        table.add_row(path.name, *cells, row["train_rows"], why)
    console = Console(width=170)
    console.print(table)
    for first, second in PAIRS:
        if first in runs and second in runs:
            console.print(f"{first} and {second}: {_compare(runs[first], runs[second])}")
    console.print(f"{len(index)} files, {len(runs)} read, {unexplained} differences unexplained")
    return 1 if unexplained else 0


def _compare(one: Run, other: Run) -> str:
    """How far two logs of one run agree on the steps and metrics that both hold."""
    left, right = one.columns(), other.columns()
    steps, at, to = np.intersect1d(left["step"], right["step"], return_indices=True)
    if any("step:counted" in event.notes for run in (one, other) for event in run):
        at = to = steps = np.arange(min(len(left["step"]), len(right["step"])))  # record by record
    names = sorted(left.keys() & right.keys() - {"step", "wall_time"})
    compared = differing = 0
    worst, where = 0.0, ""
    for name in names:
        a, b = left[name][at], right[name][to]
        both = ~(np.isnan(a) | np.isnan(b))
        compared += int(both.sum())
        apart = np.abs(a[both] - b[both]) / np.maximum(np.abs(a[both]), 1e-12)
        differing += int((apart > 1e-3).sum())
        if len(apart) and apart.max() > worst:
            worst, where = float(apart.max()), name
    return (
        f"{len(steps)} steps in both, {len(names)} metrics, {compared} values, "
        f"{differing} differ by more than 0.1% (at most {worst:.2g}{', ' + where if where else ''})"
    )


if __name__ == "__main__":
    sys.exit(main())

"""Makes the wide set again, each training in a process of its own.

`python benchmarks/detection/train_wide.py [NAME...] [--jobs N] [--only-missing]`: all rows of
`wide/table.py`, or those whose name begins with a NAME. A run lies in `wide/runs/<row>`, with what was
measured on held-out prompts and the `trainer_state.json`. The policies are taught first, once a machine.
"""

import argparse
import gzip
import json
import sys
from pathlib import Path

import store
from train import Training, train_all
from wide.table import ROWS
from wide.training import CLASSES, STATE, TRUTH, build

RUNS = Path(__file__).resolve().parent / "wide" / "runs"


def main() -> int:
    """Train what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="rows, or beginnings of their names; default: all")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--only-missing", action="store_true", help="leave the runs that are there")
    options = parser.parse_args()
    wanted = [
        row
        for row in ROWS
        if (not options.names or row.name.startswith(tuple(options.names)))
        and not (options.only_missing and (RUNS / row.name).exists())
    ]
    return train_all(
        [
            Training(row.name, build, row, row.seed, CLASSES[row.trainer][0], RUNS, keep_measured)
            for row in wanted
        ],
        options.jobs,
    )


def keep_measured(folder: Path, target: Path) -> None:
    """What was measured, and the state of the trainer, its numbers rounded as those of the run."""
    (target / TRUTH).write_text((folder / TRUTH).read_text() + "\n")
    if not (folder / STATE).exists():  # it died before its first checkpoint
        return
    state = json.loads((folder / STATE).read_text())
    state["log_history"] = [
        {name: store.rounded(value, store.DIGITS) for name, value in entry.items()}
        for entry in state["log_history"]
    ]
    with (
        (target / f"{STATE}.gz").open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=0) as file,
    ):
        file.write(json.dumps(state).encode())


if __name__ == "__main__":
    sys.exit(main())

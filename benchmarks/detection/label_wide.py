"""Writes `wide/labels.json`: what is to be found in each stored run of the wide set, by row and outcome.

`python benchmarks/detection/label_wide.py [--check]`; with `--check` it writes nothing, and exits 1 if the
file is not what the table and the measurements say. Invariant: nothing that a doctor says is read here.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from wide.row import Row
from wide.table import ROWS

from rldk.runs import open_run

FOLDER = Path(__file__).resolve().parent / "wide"
FILE = FOLDER / "labels.json"
LOST = 0.1
"""Held-out accuracy below the start by so much is lost; twice as much below its best is lost too."""
GAINED = 0.05
SOLVED = 0.9
ROSE = 1.1
"""The loss of the evaluations ends at so many times its lowest where a training overfits."""
NO_LOG_HOLDS = frozenset({"eos-never-learned"})
"""Rules that need what no log holds: they are true, but not due."""
LAST = 2
"""Measurements that the end is the mean of."""


def outcome(measured: list[float]) -> str:
    """What became of the held-out accuracy: `lost`, `learned` or `stood`."""
    ends = [sum(measured[at : at + LAST]) / LAST for at in range(1, len(measured) - LAST + 1)]
    start, end, best = measured[0], ends[-1], max(ends)
    if end <= start - LOST or end <= max(start, best) - 2 * LOST:
        return "lost"
    return "learned" if end >= min(start + GAINED, SOLVED) else "stood"


def dip(measured: list[float]) -> float:
    """How far the held-out accuracy was below its start."""
    return measured[0] - min(measured)


def overfitted(losses: list[float]) -> bool:
    """Whether the loss of the evaluations rose again."""
    return losses[-1] > ROSE * min(losses)


def verdict(row: Row, measured: list[float], losses: list[float]) -> str:
    """What is right to say of the run.

    Nothing of a row without a fault; if it lost its accuracy all the same, it is not scored. What is ill by
    its outcome is healthy where the training bore the fault and never dipped, arguable between.
    """
    became = outcome(measured)
    if not row.fault:
        return "unscored" if became == "lost" or dip(measured) >= 2 * LOST else "healthy"
    match row.ill:
        case "always":
            return "ill"
        case "overfitted":
            shown = overfitted(losses) or (became == "lost" and row.expected != {"overfitting"})
            return "ill" if shown else "arguable"
        case "stood":
            return "arguable" if became == "learned" else "ill"
        case "lost" if became == "learned" and dip(measured) < LOST:
            return "healthy"
    return "ill" if became == "lost" else "arguable"


def label(row: Row) -> dict[str, Any]:
    """What is to be found in the run of a row."""
    folder = FOLDER / "runs" / row.name
    measured = [found for _, found in json.loads((folder / "truth.json").read_text())]
    run = open_run(folder)
    losses = [one for one in run.columns("eval").get("eval_loss", []) if one == one]
    said = verdict(row, measured, losses)
    if said == "ill" and row.expected <= NO_LOG_HOLDS:
        said = "arguable"
    expected = row.expected if said == "ill" else frozenset()
    also_true = (row.also_true | row.expected) - expected if said != "healthy" else frozenset()
    options = run.context().options
    return {
        "kind": "wide",
        "scenario": row.fault or "healthy",
        "trainer": row.trainer,
        "task": row.task,
        "skill": row.skill,
        "logging_steps": options["logging_steps"],
        "accuracy": measured,
        "outcome": outcome(measured),
        "verdict": said,
        "expected": sorted(expected),
        "also_true": sorted(also_true),
        "level": row.level,
        "onset": int(row.onset * int(options["max_steps"])) + 1,
        "abrupt": row.abrupt if said == "ill" else None,
        "truth_metric": row.truth,
        "why": row.why,
    }


def table() -> str:
    """The labels of all runs that are stored."""
    labels = {row.name: label(row) for row in ROWS if (FOLDER / "runs" / row.name).exists()}
    return json.dumps(labels, indent=1, sort_keys=True) + "\n"


def main() -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    if parser.parse_args().check:
        return int(FILE.read_text() != table())
    FILE.write_text(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())

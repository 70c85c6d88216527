"""Writes `labels.json`, one entry a stored run, from the tables in `scenarios` and `series`.

`python benchmarks/detection/labels.py [--check]`; with `--check` it writes nothing, and exits 1 if the file
or the stored runs are not what the tables say. Needs TRL, as the recipes do.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import simulated
from scenarios import Scenario, by_name, same_as
from train import RUNS, Job, jobs

FILE = Path(__file__).resolve().parent / "labels.json"


def label(job: Job) -> dict[str, Any]:
    """What is to be found in one run."""
    scenario = job.scenario
    ill = bool(scenario.fault) and not job.cured
    expected, also_true = names(scenario, seldom=job.seldom)
    if job.cured:  # what is left of the fault may be said
        expected = frozenset()
    return {
        "kind": "trained",
        "scenario": scenario.name,
        "trainer": scenario.recipe.trainer,
        "seed": job.seed,
        "logging_steps": 10 if job.seldom else 1,
        "clean": not ill,
        "fault": scenario.fault if ill else "",
        "shows": scenario.cured_shows if job.cured else scenario.shows,
        "hidden": scenario.hidden if job.seldom else "",
        "verdict": "ill" if expected else "arguable" if also_true else "healthy",
        "expected": sorted(expected),
        "also_true": sorted(also_true),
        "level": scenario.level,
        "onset": scenario.onset_step(job.recipe) if ill else 0,
        "abrupt": scenario.abrupt if ill else None,
        "truth_metric": scenario.truth,
        "clean_sibling": sibling(job) if ill else None,
        "remedy": scenario.remedy if ill and scenario.remedy else None,
        "remedy_run": remedy(job) if ill else None,
        "no_remedy": scenario.no_remedy if ill and scenario.no_remedy else None,
        "remedy_of": job.name.removesuffix("-remedy") if job.cured else None,
    }


def names(scenario: Scenario, *, seldom: bool) -> tuple[frozenset[str], frozenset[str]]:
    """What is expected and what is also true, with the logging as it was."""
    if not seldom:
        return scenario.expected, scenario.also_true
    if scenario.hidden:
        return frozenset(), scenario.expected | scenario.also_true
    expected = scenario.expected | scenario.blurred
    return expected, scenario.also_true - expected


def sibling(job: Job) -> str | None:
    """The run that differs in the fault alone."""
    return Job(by_name(job.scenario.clean), job.seed, job.seldom).name if job.scenario.clean else None


def remedy(job: Job) -> str | None:
    """The run with the remedy; with `logging_steps=10` only where that is another run of the set."""
    cured = job.scenario.cured
    if cured is None:
        return None
    if (other := same_as(cured)) is not None:
        return Job(other, job.seed, job.seldom).name
    return None if job.seldom else Job(job.scenario, job.seed, cured=True).name


def table() -> dict[str, Any]:
    """Every run that is stored, by name."""
    made = {job.name: label(job) for job in jobs() if (RUNS / job.name).exists()}
    return made | simulated.labels()


def main() -> int:
    """Write, or compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare, write nothing")
    options = parser.parse_args()
    labels = table()
    text = json.dumps(labels, indent=1, sort_keys=True) + "\n"
    stored = {path.name for path in RUNS.iterdir()}
    wrong = sorted(stored ^ set(labels))
    if wrong:
        print(f"not in the tables, or not stored: {', '.join(wrong)}", file=sys.stderr)
    if options.check:
        return int(bool(wrong) or FILE.read_text() != text)
    FILE.write_text(text)
    print(f"{len(labels)} runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Makes the trained half of the detection set again, each training in a process of its own.

`python benchmarks/detection/train.py [NAME...] [--jobs N] [--only-missing] [--no-seldom] [--only-seldom]`:
all scenarios, or those whose name begins with a NAME. A run lies in `runs/<scenario>-s<seed>`, with
`logging_steps=10` in `...-log10`, with its remedy in `...-remedy`. Needs TRL 1.16 and peft. The base model is
trained first, once a machine (10 s, in the temporary folder).
"""

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import recipes
from rich.console import Console
from rich.progress import track
from scenarios import SCENARIOS, SEEDS, Scenario, same_as

RUNS = Path(__file__).resolve().parent / "runs"
LIMIT = 300.0
"""Seconds that a training may take."""


@dataclass(frozen=True)
class Job:
    """One stored run."""

    scenario: Scenario
    seed: int
    seldom: bool = False
    cured: bool = False

    @property
    def name(self) -> str:
        """Of the run and its folder."""
        ends = ("-log10" if self.seldom else "") + ("-remedy" if self.cured else "")
        return f"{self.scenario.name}-s{self.seed}{ends}"

    @property
    def recipe(self):
        """The training."""
        recipe = self.scenario.cured if self.cured else self.scenario.recipe
        return recipe.seldom() if self.seldom else recipe


def jobs() -> list[Job]:
    """Every run of the set. A remedy that makes another run of the set is not trained again."""
    made = [Job(scenario, seed) for scenario in SCENARIOS for seed in SEEDS]
    made += [
        Job(scenario, seed, cured=True)
        for scenario in SCENARIOS
        for seed in SEEDS
        if scenario.cured is not None and same_as(scenario.cured) is None
    ]
    made += [Job(scenario, seed, seldom=True) for seed in SEEDS for scenario in SCENARIOS if scenario.seldom]
    return made


def main() -> int:
    """Train what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="scenarios, or beginnings of their names; default: all")
    parser.add_argument("--jobs", type=int, default=1, help="trainings at a time")
    parser.add_argument("--only-missing", action="store_true", help="leave the runs that are there")
    parser.add_argument("--no-seldom", action="store_true", help="no runs with logging_steps=10")
    parser.add_argument("--only-seldom", action="store_true", help="only runs with logging_steps=10")
    options = parser.parse_args()
    wanted = [
        job
        for job in jobs()
        if (not options.names or job.scenario.name.startswith(tuple(options.names)))
        and not (options.only_missing and (RUNS / job.name).exists())
        and not (options.no_seldom and job.seldom)
        and not (options.only_seldom and not job.seldom)
    ]
    return train_all(
        [
            Training(job.name, recipes.build, job.recipe, job.seed, recipes.CONFIGS[job.recipe.trainer], RUNS)
            for job in wanted
        ],
        options.jobs,
    )


@dataclass(frozen=True)
class Training:
    """What is made into one stored run."""

    name: str
    build: Callable[..., Any]
    """Makes the trainer, of the recipe."""
    recipe: Any
    """With `resume`, which is not None if the training is killed and started a second time."""
    seed: int
    config: Any
    """The class of its configuration."""
    runs: Path
    """The folder that the run's own is put into."""
    also_keep: Callable[[Path, Path], None] | None = None
    """Keeps more than the run, from the folder of the training into that of the run."""


def train_all(trainings: list[Training], jobs: int) -> int:
    """Train each in a process of its own, so many at a time; 1 if one left nothing."""
    os.environ |= {"TOKENIZERS_PARALLELISM": "false", "OMP_NUM_THREADS": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
    context = multiprocessing.get_context("forkserver")
    builders = {one.build.__module__ for one in trainings}
    context.set_forkserver_preload(["training", *builders])  # the imports take longer than some trainings
    failed = []
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(_run, context, one) for one in trainings]
        for done in track(as_completed(running), "training", len(running), console=Console(stderr=True)):
            if error := done.result():
                failed.append(error)
                print(error, file=sys.stderr)
    return 1 if failed else 0


def _run(context, one: Training) -> str | None:
    """Train one, in as many processes as it has starts; the error, if it left nothing."""
    from training import keep, train

    with tempfile.TemporaryDirectory(prefix="rldk-detection-") as scratch:
        folder = Path(scratch)
        starts = 1 if one.recipe.resume is None else 2
        for start in range(starts):
            arguments = (one.build, one.recipe, folder, one.name, one.seed, start > 0)
            process = context.Process(target=train, args=arguments)
            process.start()
            process.join(LIMIT)
            if process.is_alive():
                process.kill()
                return f"{one.name}: took longer than {LIMIT:.0f} s"
        target = one.runs / one.name
        shutil.rmtree(target, ignore_errors=True)
        try:
            keep(folder, target, one.config)
            if one.also_keep:
                one.also_keep(folder, target)
        except Exception as error:
            return f"{one.name}: {type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main())

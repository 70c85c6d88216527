"""One training of a patient, in a process of its own, and what is kept of it.

Invariant: the run itself is not kept; its measurements, its findings and the level of a metric are.
"""

import json
import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import recipes
from cures import goal
from cures.patient import Patient
from score import Labelled
from train import Training, train_all
from wide.row import Row
from wide.training import CLASSES, TRUTH
from wide.training import build as build_wide

from rldk.health import Diagnosis, diagnose
from rldk.runs import open_run

__all__ = ["Kept", "diagnosis_of", "level_of", "trained"]

LEVEL = 10
"""Records that the level of a metric is the mean of."""


class Kept(msgspec.Struct, frozen=True):
    """What is kept of a training."""

    measured: list[float]
    """The goal at each measurement, from the beginning on."""
    findings: dict[str, str]
    """Severity by rule."""
    levels: dict[str, float]
    """Each asked metric at the end."""


def trained(patient: Patient, recipe: Row | recipes.Recipe, metrics: tuple[str, ...]) -> Kept | None:
    """Train a recipe from the patient's start and seed; None if nothing was recorded."""
    kept: list[Kept] = []

    def keep(folder: Path, target: Path) -> None:
        measured = [found for _, found in json.loads((folder / TRUTH).read_text())]
        run = msgspec.structs.replace(patient.run, path=target)
        found = {one.rule: one.severity for one in diagnosis_of(run).findings}
        kept.append(Kept(measured, found, {name: level_of(target, name) for name in metrics}))

    build: Callable[..., Any] = build_wide if isinstance(recipe, Row) else goal.build
    config = CLASSES[recipe.trainer][0] if isinstance(recipe, Row) else recipes.CONFIGS[recipe.trainer]
    with tempfile.TemporaryDirectory(prefix="rldk-cures-") as runs:
        train_all([Training(patient.name, build, recipe, patient.seed, config, Path(runs), keep)], 1)
    return kept[0] if kept else None


def diagnosis_of(run: Labelled) -> Diagnosis:
    """What the doctor says of a run, with the truth metric of its label."""
    opened = open_run(run.path)
    settings = opened.settings()
    if run.truth_metric:
        settings = msgspec.structs.replace(settings, truth_metric=run.truth_metric)
    monitor = settings.monitor(opened.context())
    monitor.begin()
    for at in opened.observations():
        monitor.observe(at)
    return diagnose(monitor)


def level_of(path: Path, metric: str) -> float:
    """The mean of a metric's last finite values; NaN where the run does not hold it."""
    values = [one for one in open_run(path).columns("train").get(metric, []) if math.isfinite(one)]
    last = values[-LEVEL:]
    return float(f"{sum(last) / len(last):.4g}") if last else math.nan

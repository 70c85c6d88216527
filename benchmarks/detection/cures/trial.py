"""One training of a patient, in a process of its own, and what is kept of it.

Invariant: the run itself is not kept; what it is for, measured, its findings and the level of a metric are.
"""

import json
import math
import tempfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import recipes
from score import Labelled
from train import Training, train_all
from wide.row import Row
from wide.training import CLASSES, TRUTH
from wide.training import build as build_wide

from cures.patient import ONLINE, Patient
from rldk.health import Diagnosis, diagnose
from rldk.runs import open_run

__all__ = ["Kept", "diagnosis_of", "kept_of", "level_of", "measured_of", "trained"]

LEVEL = 10
"""Records that the level of a metric is the mean of."""
PARTS = 8
"""Parts of a run whose mean rewards are its measurements, where nothing else was measured."""


class Kept(msgspec.Struct, frozen=True):
    """What is kept of a training."""

    measured: list[float]
    """What the training is for, from its beginning on: `measured_of`."""
    findings: dict[str, str]
    """Severity by rule."""
    level: float | None
    """The metric that showed the fault, at the end."""


def trained(patient: Patient, recipe: Row | recipes.Recipe, metric: str | None = None) -> Kept | None:
    """Train a recipe from the patient's start and seed; None if nothing was recorded."""
    kept: list[Kept] = []

    def keep(folder: Path, target: Path) -> None:
        if isinstance(recipe, Row):
            (target / TRUTH).write_bytes((folder / TRUTH).read_bytes())
        kept.append(kept_of(patient, target, metric))

    build: Callable[..., Any] = build_wide if isinstance(recipe, Row) else recipes.build
    config = CLASSES[recipe.trainer][0] if isinstance(recipe, Row) else recipes.CONFIGS[recipe.trainer]
    with tempfile.TemporaryDirectory(prefix="rldk-cures-") as runs:
        train_all([Training(patient.name, build, recipe, patient.seed, config, Path(runs), keep)], 1)
    return kept[0] if kept else None


def kept_of(patient: Patient, path: Path, metric: str | None) -> Kept:
    """What is kept of a stored training of the patient."""
    found = diagnosis_of(msgspec.structs.replace(patient.run, path=path)).findings
    level = level_of(path, metric) if metric else None
    return Kept(measured_of(path, patient.trainer), {one.rule: one.severity for one in found}, level)


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


def measured_of(folder: Path, trainer: str) -> list[float]:
    """What a stored training is for, the higher the better.

    The wide set: held-out prompts answered, or pairs ranked, rightly. The trained set: the reward, which the
    healthy run has too, in parts of the run; the eval split's pairs that DPO ranks rightly; the likelihood
    of a token of the eval split under SFT.
    """
    if (folder / TRUTH).exists():
        return [found for _, found in json.loads((folder / TRUTH).read_text())]
    run = open_run(folder)
    if trainer in ONLINE:
        rewards = _finite(run.columns("train")["reward_mean"])
        bounds = [len(rewards) * part // PARTS for part in range(PARTS + 1)]
        parts = [rewards[begin:end] for begin, end in pairwise(bounds)]
        return [round(sum(part) / len(part), 4) for part in parts if part]
    if trainer == "dpo":
        return [round(one, 4) for one in _finite(run.columns("eval")["eval_rewards_accuracies"])]
    return [round(math.exp(-one), 4) for one in _finite(run.columns("eval")["eval_loss"])]


def level_of(folder: Path, metric: str) -> float | None:
    """The mean of a metric's last finite values; None where the run does not hold it."""
    run = open_run(folder)
    last = _finite(run.columns("eval" if metric.startswith("eval") else "train").get(metric, []))[-LEVEL:]
    return float(f"{sum(last) / len(last):.4g}") if last else None


def _finite(values: Any) -> list[float]:
    return [float(one) for one in values if math.isfinite(one)]

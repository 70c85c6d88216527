"""The ill runs whose first remedy is tried, and the healthy training that each is compared with.

Invariant: which runs are taken, and in which order, follows from the labels and from how long a training
takes; no remedy, and no result, has a say in it.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recipes import Recipe
from scenarios import SCENARIOS, by_name
from score import HERE, WIDE, Labelled, labelled_set
from wide.row import Row
from wide.table import ROWS, by_run
from wide.training import settings

from rldk.runs import open_run

__all__ = ["Patient", "breaks_of", "changed", "patients", "stored", "stored_sibling"]

EVERY = 3
"""Of so many runs one is tried only when no remedy is changed any more."""
LORA_RATES = {"grpo": 8.0, "rloo": 8.0, "dpo": 10.0, "kto": 10.0, "sft": 6.0}
"""What the healthy rows of the wide set multiply the learning rate by, for an adapter."""
LENGTH = ("logging_steps", "max_steps")
PLAIN = {*LENGTH, "save_strategy", "save_steps", "lr_scheduler_type", "warmup_steps", "beta"}
"""What the configuration of a stored healthy run may hold, so that it can stand for a healthy row."""
ONLINE = ("grpo", "rloo")
BREAKS = {
    "spike": "rate in mid-run",
    "detached": "nothing is trained",
    "half_adapter": "nothing is trained",
    "only_norm": "nothing is trained",
    "masked_labels": "labels",
    "masked_eos": "labels",
}


@dataclass(frozen=True)
class Patient:
    """An ill run of one of the two trained sets."""

    name: str
    run: Labelled
    trainer: str
    recipe: Row | Recipe
    """The training with the fault."""
    healthy: Row | Recipe
    """The training without it; of the wide set it may differ in length."""
    seed: int
    fault: str
    fresh: bool = False
    """Whether it is tried only when no remedy is changed any more."""

    @property
    def is_wide(self) -> bool:
        """Whether it is of the wide set."""
        return isinstance(self.recipe, Row)

    @property
    def kind(self) -> str:
        """The kind of failure: what the fault changed."""
        return _kind(self.recipe, self.healthy)


def patients() -> list[Patient]:
    """Every ill run, the shortest first: by the seconds that its stored training took.

    Left out are a weight that was made NaN by hand (nothing in the recipe can be mended), and of the trained
    set the second seed and the seldom logging (the same fault once more) and online runs with another reward
    or sampling, whose rewards are no measure of what the healthy run is for.
    """
    found = [*map(_trained, labelled_set(HERE)), *map(_wide, labelled_set(WIDE))]
    made = sorted((one for one in found if one is not None), key=_seconds)
    return [replace(one, fresh=place % EVERY == EVERY - 1) for place, one in enumerate(made)]


def _seconds(patient: Patient) -> tuple[float, str]:
    times = open_run(patient.run.path).columns("train")["wall_time"]
    return float(times[-1] - times[0]), patient.name


def _trained(run: Labelled) -> Patient | None:
    if run.kind != "trained" or run.verdict != "ill" or not run.name.endswith("-s1"):
        return None
    scenario = by_name(run.group)
    if scenario.no_remedy or not scenario.clean:
        return None
    ill, healthy = scenario.recipe, by_name(scenario.clean).recipe
    if ill.trainer in ONLINE and (ill.rewards != healthy.rewards or "temperature" in ill.config):
        return None
    return Patient(run.name, run, ill.trainer, ill, healthy, 1, scenario.fault)


def _wide(run: Labelled) -> Patient | None:
    row = by_run()[run.name]
    if run.verdict != "ill" or any(name.startswith("nan_weights") for name in row.breaks):
        return None
    return Patient(run.name, run, row.trainer, row, healthy_row(row), row.seed, row.fault)


def healthy_row(row: Row) -> Row:
    """The healthy training of the same trainer, task, policy and seed."""
    rate = LORA_RATES[row.trainer] if row.lora else 1.0
    return Row(sibling_name(row), row.trainer, row.task, row.skill, rate=rate, lora=row.lora, seed=row.seed)


def sibling_name(row: Row) -> str:
    """What a healthy training is like: rows alike in it share one."""
    parts = [row.trainer.replace("_", "-"), row.task, row.skill, *(["lora"] if row.lora else [])]
    return "-".join(parts)


def stored_sibling(patient: Patient) -> Path | None:
    """The stored healthy run that differs in the fault, and of the wide set perhaps in its length."""
    if not isinstance(patient.recipe, Row):
        return HERE / "runs" / f"{by_name(patient.run.group).clean}-s{patient.seed}"
    labels = json.loads((WIDE / "labels.json").read_text())
    ill = patient.recipe
    for row in ROWS:
        plain = not row.data and row.rewards == ("exact",) and set(row.config) <= PLAIN
        same = (row.trainer, row.task, row.skill, row.lora) == (ill.trainer, ill.task, ill.skill, ill.lora)
        healthy = row.name in labels and labels[row.name]["verdict"] == "healthy"
        if same and plain and healthy:
            return WIDE / "runs" / row.name
    return None


def stored(patient: Patient, recipe: Row | Recipe) -> Path | None:
    """The stored run that the recipe would give again from the patient's start; None: there is none."""
    if isinstance(recipe, Recipe):
        same = next((one for one in SCENARIOS if _of_set(one.recipe) == _of_set(recipe)), None)
        return HERE / "runs" / f"{same.name}-s{patient.seed}" if same else None
    found = next((row for row in ROWS if _training(row) == _training(recipe)), None)
    path = WIDE / "runs" / found.name if found else None
    return path if path and path.exists() else None


def _of_set(recipe: Recipe) -> tuple[Any, ...]:
    """All that a training of the smaller set follows from."""
    rest = (recipe.trainer, recipe.rewards, recipe.sabotage, recipe.eos, recipe.lora, recipe.resume)
    return (*rest, dict(recipe.data), recipe.settings)


def _training(row: Row) -> tuple[Any, ...]:
    """All that a training of the wide set follows from."""
    same = (
        row.trainer,
        row.task,
        row.skill,
        row.rewards,
        row.breaks,
        row.eos,
        row.lora,
        row.resume,
        row.seed,
    )
    return (*same, dict(row.data), settings(row))


def _kind(ill: Row | Recipe, healthy: Row | Recipe) -> str:
    """What differs between the two trainings, as the kind of failure."""
    breaks = [name.partition("@")[0] for name in breaks_of(ill)]
    if ill.resume:
        return "resume"
    if found := [BREAKS[name] for name in breaks if name in BREAKS]:
        return found[0]
    if ill.eos != healthy.eos:
        return "end token"
    if ill.data != healthy.data:
        few = set(ill.data) == {"rows"}
        return "too few rows" if few else "prompts" if "levels" in ill.data else "pairs and answers"
    if tuple(ill.rewards) != tuple(healthy.rewards):
        return "reward function"
    options = {
        "max_completion_length": "length limit",
        "temperature": "temperature",
        "num_iterations": "reuse",
    }
    if found := [kind for name, kind in options.items() if name in ill.config]:
        return found[0]
    if ill.config.get("beta"):
        return "beta"
    return "rate too low" if rate_of(ill) < rate_of(healthy) else "rate too high"


def rate_of(recipe: Row | Recipe) -> float:
    """The learning rate of a training."""
    made = settings(recipe) if isinstance(recipe, Row) else recipe.settings
    return float(made["learning_rate"])


def breaks_of(recipe: Row | Recipe) -> tuple[str, ...]:
    """What breaks the training from within."""
    return recipe.breaks if isinstance(recipe, Row) else recipe.sabotage


def changed(recipe: Any, **options: Any) -> Any:
    """The recipe with other options of its configuration."""
    return replace(recipe, config={**recipe.config, **options})

"""The ill runs whose first remedy is tried, and the healthy training that each is compared with.

Invariant: which runs are taken, and in which order, follows from the labels and the hash of a name; no
remedy, and no result, has a say in it.
"""

from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from recipes import Recipe
from scenarios import by_name
from score import HERE, WIDE, Labelled, labelled_set
from wide.row import Row
from wide.table import by_run
from wide.training import settings

__all__ = ["COUNT", "FRESH", "Patient", "patients"]

COUNT = 72
"""Ill runs that are taken; some have no remedy that a machine can apply, or no gap."""
FRESH = 27
"""The last of them are tried only when no remedy is changed any more."""
LORA_RATES = {"grpo": 8.0, "rloo": 8.0, "dpo": 10.0, "kto": 10.0, "sft": 6.0}
"""What the healthy rows of the wide set multiply the learning rate by, for an adapter."""
KEPT = ("logging_steps", "max_steps", "save_strategy", "save_steps")
"""What a healthy row keeps of the configuration of the ill one."""


@dataclass(frozen=True)
class Patient:
    """An ill run of one of the two trained sets."""

    name: str
    run: Labelled
    trainer: str
    recipe: Row | Recipe
    """The training with the fault."""
    healthy: Row | Recipe
    """The same training without it."""
    seed: int
    fault: str

    @property
    def is_wide(self) -> bool:
        """Whether it is of the wide set."""
        return isinstance(self.recipe, Row)

    @property
    def kind(self) -> str:
        """The kind of failure: what the fault changed."""
        return kind_of(self.recipe, self.healthy)


def patients() -> list[Patient]:
    """The first `COUNT` ill runs in the order of the hash of their names.

    Left out are runs of the trained set with another seed or logging than the first (the same fault once
    more), and a weight that was made NaN by hand (nothing in the recipe can be mended).
    """
    found = [*map(_trained, labelled_set(HERE)), *map(_wide, labelled_set(WIDE))]
    made = [one for one in found if one is not None]
    return sorted(made, key=lambda one: sha256(one.name.encode()).digest())[:COUNT]


def _trained(run: Labelled) -> Patient | None:
    if run.kind != "trained" or run.verdict != "ill" or not run.name.endswith("-s1"):
        return None
    scenario = by_name(run.group)
    if scenario.no_remedy or not scenario.clean:
        return None
    healthy = by_name(scenario.clean).recipe
    return Patient(run.name, run, scenario.recipe.trainer, scenario.recipe, healthy, 1, scenario.fault)


def _wide(run: Labelled) -> Patient | None:
    row = by_run()[run.name]
    if run.verdict != "ill" or any(name.startswith("nan_weights") for name in row.breaks):
        return None
    return Patient(run.name, run, row.trainer, row, healthy_row(row), row.seed, row.fault)


def healthy_row(row: Row) -> Row:
    """The healthy training of the same trainer, task, policy, length and seed."""
    return replace(
        row,
        rate=LORA_RATES[row.trainer] if row.lora else 1.0,
        config={name: row.config[name] for name in KEPT if name in row.config},
        rewards=("exact",),
        data={},
        breaks=tuple(name for name in row.breaks if name.startswith("killed")),
        eos="<eos>",
        resume=None if row.resume is None else {},
        truth=None,
    )


def kind_of(ill: Row | Recipe, healthy: Row | Recipe) -> str:
    """What differs between the two trainings, as the kind of failure."""
    if ill.resume != healthy.resume:
        return "resume"
    for name in breaks_of(ill):
        kind = name.partition("@")[0]
        if kind != "killed":
            return {
                "spike": "rate in mid-run",
                "detached": "nothing is trained",
                "half_adapter": "nothing is trained",
                "only_norm": "nothing is trained",
                "masked_labels": "labels",
                "masked_eos": "labels",
            }[kind]
    if ill.eos != healthy.eos:
        return "end token"
    if ill.data != healthy.data:
        rows = set(ill.data) == {"rows"}
        return "too few rows" if rows else "prompts" if "levels" in ill.data else "pairs and answers"
    config = {**ill.config}
    for name in ("max_completion_length", "temperature", "beta", "num_iterations"):
        if name in config and config[name] != healthy.config.get(name) and not (name == "beta" and _fast(ill)):
            return {"max_completion_length": "length limit", "num_iterations": "off-policy"}.get(name, name)
    if tuple(ill.rewards) != tuple(healthy.rewards):
        return "reward function"
    return "rate too low" if rate_of(ill) < rate_of(healthy) else "rate too high"


def rate_of(recipe: Row | Recipe) -> float:
    """The learning rate of a training."""
    made = settings(recipe) if isinstance(recipe, Row) else recipe.settings
    return float(made["learning_rate"])


def _fast(ill: Row | Recipe) -> bool:
    """Whether a row without KL term is of those with a rate that is too high, or a paid loophole."""
    return ill.config.get("beta") == 0.0


def breaks_of(recipe: Row | Recipe) -> tuple[str, ...]:
    """What breaks the training from within."""
    return recipe.breaks if isinstance(recipe, Row) else recipe.sabotage


def changed(recipe: Any, **options: Any) -> Any:
    """The recipe with other options of its configuration."""
    return replace(recipe, config={**recipe.config, **options})


def path_of(patient: Patient) -> Path:
    """The stored ill run."""
    return patient.run.path

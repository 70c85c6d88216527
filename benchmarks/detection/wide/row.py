"""What one row of the wide set says: the training, and by which measured outcome it is ill.

Invariant: a row is written before its training has been judged. What decides is measured on held-out
prompts, never what a doctor said.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Trainer = Literal["grpo", "rloo", "online_dpo", "dpo", "kto", "orpo", "sft", "reward"]
Skill = Literal["weak", "middle", "strong"]
Outcome = Literal["always", "lost", "stood", "overfitted"]


@dataclass(frozen=True)
class Row:
    """One training. One without `fault` is healthy."""

    name: str
    trainer: Trainer
    task: str
    skill: Skill = "middle"
    """How often the policy is right when the training begins: a name in `tasks.policy.SKILLS`."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the configuration of the trainer's healthy recipe."""
    rate: float = 1.0
    """By what the learning rate of the healthy recipe is multiplied."""
    rewards: tuple[str, ...] = ("exact",)
    """Names in `rewards`, with their arguments: `scaled@exact,-1,1`."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the task's data in `training.DATA`."""
    breaks: tuple[str, ...] = ()
    """Names in `faults.SABOTAGE`, with their arguments: `nan_weights@{half}`."""
    eos: str = "<eos>"
    """What tokenizer and model are told ends an answer; the policy writes `<eos>`."""
    lora: bool = False
    resume: Mapping[str, Any] | None = None
    """Of a training that is killed: changes to the configuration for its second start."""
    seed: int = 1
    fault: str = ""
    """What was done to it, in words."""
    why: str = ""
    """Why that is a fault, and why the rules of `expected` are its right names."""
    ill: Outcome = "always"
    """The outcome that makes a row with a fault ill; `labels.verdict` says what each means."""
    expected: frozenset[str] = frozenset()
    """Rules any of which, at `level` or above, names the right cause."""
    also_true: frozenset[str] = frozenset()
    """Rules that speak of true consequences."""
    level: Literal["info", "warning"] = "warning"
    onset: float = 0.0
    """The share of the training after which the fault is there."""
    abrupt: bool = False
    """Whether it is there at once and in full, so that an alarm is due within ten records."""
    truth: str | None = None
    """The metric that is the truth behind the reward: `truth_metric`."""


def every(logging_steps: int, max_steps: int, **more: Any) -> dict[str, Any]:
    """How often it is logged, and how long it is."""
    return {"logging_steps": logging_steps, "max_steps": max_steps, **more}


def well(name: str, trainer: Trainer, task: str, skill: Skill = "middle", **more: Any) -> Row:
    """A healthy training."""
    return Row(f"{trainer.replace('_', '-')}-{task}-{name}", trainer, task, skill, **more)


def ill(name: str, trainer: Trainer, task: str, skill: Skill = "middle", **more: Any) -> Row:
    """A training with a fault."""
    return replace(well(name, trainer, task, skill), **more)

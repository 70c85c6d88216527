"""What one row of the table says: the training, what is done to it, and what the doctor is to say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Trainer = Literal["grpo", "rloo", "dpo", "sft", "kto"]


@dataclass(frozen=True)
class Row:
    """One training and its label. One without `fault` is healthy: nothing may be said at warning or above."""

    name: str
    trainer: Trainer
    fault: str = ""
    """What was done to it, in words."""
    expected: frozenset[str] = frozenset()
    """Rules any of which, at `level` or above, names it rightly."""
    also_true: frozenset[str] = frozenset()
    """Rules that speak of true consequences."""
    level: Literal["info", "warning"] = "warning"
    linked: bool = False
    """Whether the finding is to hold samples that show it."""
    says: str = ""
    """What the finding has to tell, where the rule alone does not name the fault."""
    onset: int = 1
    """The first step whose record, or whose end, can show it."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Changes to the configuration of the trainer's healthy recipe."""
    rewards: tuple[str, ...] = ("colours",)
    """Names in `rewards.REWARDS`, with their arguments: `raises@30`."""
    breaks: tuple[str, ...] = ()
    """Names in `breaking.BREAKS`, with their arguments: `signal@9,30`."""
    truth: str | None = None
    """The callback's `truth_metric`."""
    model: Literal["full", "lora", "bf16"] = "full"
    chat: bool = False
    """Whether prompts and completions are messages."""
    resumes: bool = False
    """Whether it is started a second time, from its last checkpoint."""
    seeds: tuple[int, ...] = (1, 2)
    trl: Literal["1.16", "0.23"] = "1.16"
    """The TRL that it is trained with."""

    def runs(self) -> list[str]:
        """The names of its runs."""
        return [f"{self.name}-s{seed}" for seed in self.seeds]

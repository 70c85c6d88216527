"""The context of a run for its rules: the algorithm, the versions, the options.

Invariant: an unknown value is None, never a default that the run may not have.
"""

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from rldk.metrics.dialects.detect import installed_dialects
from rldk.schema.run_info import Attempt
from rldk.schema.training_start import TrainingStart

__all__ = ["GROUPED", "OFFLINE", "ONLINE", "PAIRS", "RunContext", "known_algorithms"]

GROUPED = frozenset({"grpo", "rloo", "async_grpo", "gspo", "dapo", "reinforce++"})
"""Algorithms whose baseline is the group of completions of one prompt."""
ONLINE = GROUPED | {"ppo", "online_dpo", "nash_md", "xpo", "a2c", "dqn", "sac", "td3", "ddpg", "trpo", "a2po"}
"""Algorithms that learn from rewards for the policy's own actions."""
PAIRS = frozenset({"dpo", "kto", "cpo", "orpo", "bco", "tpo", "xpo", "online_dpo"})
"""Algorithms that learn from preferences and log implicit rewards."""
OFFLINE = frozenset({"sft", "gkd", "dpo", "kto", "cpo", "orpo", "bco", "tpo", "reward", "prm"})
"""Algorithms that train on given sequences."""


def known_algorithms() -> frozenset[str]:
    """The algorithms that a rule or a dialect knows; for another one, rules for one algorithm do not judge.

    Example:
        >>> "grpo" in known_algorithms(), "grpoo" in known_algorithms()
        (True, False)
    """
    of_dialects = (name for dialect in installed_dialects().values() for name in dialect.by_algorithm)
    return (GROUPED | ONLINE | PAIRS | OFFLINE).union(of_dialects)


class RunContext(msgspec.Struct, frozen=True, kw_only=True):
    """The run that is judged."""

    algorithm: str | None = None
    """`grpo`, `dpo`, ...; None where it is not known."""
    dialect: str | None = None
    """The framework whose options a remedy names: `trl`, `verl`, ...; `generic`: only options that the run
    has.

    None where it is not known.
    """
    versions: Mapping[str, str] = {}
    """Version of each package that is known, such as `trl`."""
    options: Mapping[str, Any] = {}
    """The trainer's arguments by name; empty for a foreign log."""
    model: Mapping[str, Any] = {}
    """The model's configuration; empty for a foreign log."""
    model_class: str | None = None
    """Class of the model, such as `PeftModelForCausalLM`."""
    start: TrainingStart = TrainingStart()
    """What the trainer held when the training began; nothing is known of a foreign log."""
    truth_metric: str | None = None
    """The metric that the reward is a proxy for, by the user's choice."""
    is_excerpt: bool = False
    """Whether the log begins in the middle of the training, so that its first records show no beginning."""

    @classmethod
    def of_attempt(cls, attempt: Attempt) -> "RunContext":
        """The context of one start of a recorded run."""
        truth = attempt.judging.get("truth_metric")
        return cls(
            algorithm=attempt.algorithm,
            dialect=attempt.dialect or "trl",
            versions=attempt.versions,
            options=attempt.args,
            model=attempt.model_config,
            model_class=attempt.model_class,
            start=attempt.start,
            truth_metric=truth if isinstance(truth, str) else None,
        )

    def option(self, name: str) -> Any:
        """The value of the trainer's argument; None where it is None or not known."""
        return self.options.get(name)

    def number(self, name: str) -> float | None:
        """The argument as a finite number, else None."""
        value = self.options.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            return None
        return float(value)

"""What rules of several families share: whether enough was scored, and how to observe rewards."""

from rldk.health.context import RunContext
from rldk.health.tracks import Track

__all__ = ["COMPLETIONS", "EXCERPT", "OBSERVE", "RECORDS", "is_constant", "is_early", "scored_completions"]

EXCERPT = "give the log from its first record on: this one begins in the middle of the training"
"""Why a rule of the first records cannot judge an excerpt, and what to give instead."""

OBSERVE = (
    "wrap them: reward_funcs=observe_rewards(...), of rldk.integrations.trl; "
    "in a loop of your own, call run.samples(...)"
)
"""How rldk gets to see the reward functions and the completions."""
COMPLETIONS = 500
"""Scored completions before which a reward without a success may be sparse."""
RECORDS = 60
"""`COMPLETIONS` in records (or steps, where a record covers several), for an unknown batch size."""


def scored_completions(context: RunContext, step: int) -> float | None:
    """Completions generated and scored up to a step, or None where the batch size is not known."""
    batch = context.number("per_device_train_batch_size")
    if batch is None:
        return None
    for option in ("gradient_accumulation_steps", "world_size"):
        batch *= context.number(option) or 1.0
    return step * batch / max(context.number("num_iterations") or 1.0, 1.0)


def is_early(context: RunContext, reward: Track, step: int, least: float = COMPLETIONS) -> bool:
    """Whether too few completions were scored to conclude that none ever succeeds."""
    scored = scored_completions(context, step)
    if scored is not None:
        return scored < least
    return reward.count < RECORDS and (reward.count < RECORDS / 3 or step < RECORDS)


def is_constant(reward: Track) -> bool:
    """Whether the reward has had one value since the first record."""
    return reward.count > 0 and reward.high - reward.low <= 1e-9

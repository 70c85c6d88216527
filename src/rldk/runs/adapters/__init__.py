"""The formats of other people's logs, one module a container."""

from functools import cache

from rldk.runs.adapters.base import Adapter

__all__ = ["adapters"]


@cache
def adapters() -> tuple[Adapter, ...]:
    """Every adapter, in the order in which they are asked: the surer one of its own, the earlier."""
    from rldk.runs.adapters import (
        completions,
        console,
        jsonl,
        key_value_lines,
        table,
        tensorboard,
        trackio,
        trainer_state,
        verl_console,
        wandb,
    )

    single = (
        trainer_state,
        completions,
        tensorboard,
        trackio,
        verl_console,
        jsonl,
        table,
        console,
        key_value_lines,
    )
    return (*wandb.ADAPTERS, *(module.ADAPTER for module in single))

"""The formats of other people's logs, one module a container."""

from functools import cache
from importlib import import_module

from rldk.runs.adapters.base import Adapter

__all__ = ["adapters"]

_MODULES = (
    "trainer_state",
    "tensorboard",
    "wandb",
    "trackio",
    "verl_console",
    "jsonl",
    "table",
    "console",
    "pairs",
)
"""The surer a format is of its own, the earlier."""


@cache
def adapters() -> tuple[Adapter, ...]:
    """Every adapter, in the order in which they are asked."""
    from importlib.util import find_spec  # TEMP

    modules = [import_module(f"{__name__}.{name}") for name in _MODULES if find_spec(f"{__name__}.{name}")]
    return tuple(a for m in modules for a in getattr(m, "ADAPTERS", None) or (m.ADAPTER,))

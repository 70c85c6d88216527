"""The adapters: one module for each format of another tool's logs, and those of installed packages.

Invariant: names are unique; if two adapters are equally sure of a log, rldk's own adapter reads it.
"""

from dataclasses import replace
from functools import cache

from rldk._log import warn
from rldk._plugins import named_plugins
from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row, open_binary, text_lines
from rldk.runs.line_reader import BadLine

__all__ = ["Adapter", "BadLine", "OnBad", "Probe", "Row", "adapters", "open_binary", "text_lines"]


@cache
def adapters() -> tuple[Adapter, ...]:
    """Every adapter; formats that are easy to recognise come first.

    Adapters of the entry points `rldk.adapters` follow rldk's own.
    """
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
    own = (*wandb.ADAPTERS, *(module.ADAPTER for module in single))
    reserved = ("rldk", *(adapter.name for adapter in own))  # `rldk` is the format of recorded runs
    return (*own, *(_guarded(*plugin) for plugin in named_plugins("rldk.adapters", Adapter, reserved)))


def _guarded(source: str, adapter: Adapter) -> Adapter:
    """The adapter of a plug-in; its confidence is 0 where it fails, so that others are asked."""
    warned = False

    def confidence(probe: Probe) -> float:
        nonlocal warned
        try:
            return float(adapter.confidence(probe))
        except OSError:
            raise
        except Exception as error:
            if not warned:
                warned = True
                text = "rldk: the plug-in %s cannot say whether it knows %s: %s: %s"
                warn(text, source, probe.path, type(error).__name__, error)
            return 0.0

    return replace(adapter, confidence=confidence)

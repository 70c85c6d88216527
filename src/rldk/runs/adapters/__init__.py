"""The adapters: one module for each format of another tool's logs, and those of installed packages.

Invariant: names are unique; if two adapters are equally sure of a log, rldk's own adapter reads it.
"""

from dataclasses import replace
from functools import cache

from rldk._log import warn
from rldk._modules import modules_of
from rldk._plugins import named_plugins
from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row, open_binary, text_lines
from rldk.runs.line_reader import BadLine

__all__ = ["Adapter", "BadLine", "OnBad", "Probe", "Row", "adapters", "open_binary", "text_lines"]

PREFERRED = (
    *("wandb", "wandb-summary", "trainer-state", "trl-completions", "tensorboard", "trackio"),
    "verl-console",
)
"""The formats that win a tie, the first of them most; the others follow in the order of their modules."""


@cache
def adapters() -> tuple[Adapter, ...]:
    """The `ADAPTER` of each module of this package, then the adapters of the entry points `rldk.adapters`."""
    found = [getattr(module, "ADAPTER", None) for _, module in modules_of("rldk.runs.adapters")]
    by_name = {adapter.name: adapter for adapter in found if isinstance(adapter, Adapter)}
    own = (*(by_name.pop(name) for name in PREFERRED), *by_name.values())
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

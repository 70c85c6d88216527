"""rldk, the RL Debug Kit: the flight recorder and the doctor of RL post-training.

Public names are loaded when they are first used: `import rldk` itself loads neither torch,
transformers, numpy nor rich, so that the command line starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rldk._version import __version__

if TYPE_CHECKING:
    from rldk.errors import RLDKError
    from rldk.integrations.trl import RLDKCallback
    from rldk.runs import Run, TRLAdapter, open_run
    from rldk.schema.event import Event

__all__ = ["Event", "RLDKCallback", "RLDKError", "Run", "TRLAdapter", "__version__", "open_run"]

_HOMES = {
    "Event": "rldk.schema.event",
    "RLDKCallback": "rldk.integrations.trl",
    "RLDKError": "rldk.errors",
    "Run": "rldk.runs",
    "TRLAdapter": "rldk.runs",
    "open_run": "rldk.runs",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'rldk' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""rldk, the RL Debug Kit: the flight recorder and the doctor of RL post-training.

Public names are loaded when they are first used: `import rldk` itself loads neither torch,
transformers, numpy nor rich, so that the command line starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rldk.errors import RLDKError
    from rldk.event import Event
    from rldk.integrations.trl import RLDKCallback
    from rldk.runs import Run, TRLAdapter, open_run

__all__ = ["Event", "RLDKCallback", "RLDKError", "Run", "TRLAdapter", "__version__", "open_run"]

__version__ = "0.1.0"

_HOMES = {
    "Event": "rldk.event",
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

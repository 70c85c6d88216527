"""rldk, the RL Debug Kit: the flight recorder and the doctor of RL post-training.

Public names are loaded when they are first used: `import rldk` itself loads neither torch,
transformers, numpy nor rich, so that the command line starts at once.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from rldk._version import __version__

if TYPE_CHECKING:
    from rldk.doctor.judge import judge
    from rldk.errors import RLDKError
    from rldk.health import (
        RULES,
        Cause,
        Diagnosis,
        Finding,
        Observation,
        Remedy,
        Rule,
        RuleOptions,
        Settings,
        Severity,
        Verdict,
    )
    from rldk.integrations.loop import record
    from rldk.integrations.trl import RLDKCallback, observe_rewards
    from rldk.runs import Run, Sample, TRLAdapter, open_run
    from rldk.schema.event import Event

__all__ = [
    "RULES",
    "Cause",
    "Diagnosis",
    "Event",
    "Finding",
    "Observation",
    "RLDKCallback",
    "RLDKError",
    "Remedy",
    "Rule",
    "RuleOptions",
    "Run",
    "Sample",
    "Settings",
    "Severity",
    "TRLAdapter",
    "Verdict",
    "__version__",
    "judge",
    "observe_rewards",
    "open_run",
    "record",
]

_NAMES = {
    "rldk.doctor.judge": ("judge",),
    "rldk.errors": ("RLDKError",),
    "rldk.health": (
        "RULES",
        "Cause",
        "Diagnosis",
        "Finding",
        "Observation",
        "Remedy",
        "Rule",
        "RuleOptions",
        "Settings",
        "Severity",
        "Verdict",
    ),
    "rldk.integrations.loop": ("record",),
    "rldk.integrations.trl": ("RLDKCallback", "observe_rewards"),
    "rldk.runs": ("Run", "Sample", "TRLAdapter", "open_run"),
    "rldk.schema.event": ("Event",),
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names}


if not TYPE_CHECKING:  # by this function a type checker would believe that every name exists

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'rldk' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

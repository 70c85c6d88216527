"""A diagnosis as the object that `rldk doctor --format json` prints.

Invariant: the keys are those of `Finding` and `NotChecked`, and the text is strict JSON.
"""

from typing import Any

import msgspec

from rldk import __version__
from rldk.report.examination import Examination
from rldk.report.words import strict

__all__ = ["as_json"]


def as_json(about: Examination) -> dict[str, Any]:
    """The object of one run, as plain data."""
    run = {
        "source": about.source,
        "format": about.format,
        "dialect": about.dialect,
        "algorithm": about.algorithm,
        "records": about.records,
        "first_step": about.first_step,
        "last_step": about.last_step,
        "ended": about.state == "ended",
    }
    told = msgspec.to_builtins(about.diagnosis, enc_hook=str)
    diagnosis = {key: told[key] for key in ("status", "findings", "not_checked")}
    found: dict[str, Any] = strict({"rldk": __version__, "run": run, **diagnosis})
    return found

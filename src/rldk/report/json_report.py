"""A diagnosis as the object that `rldk doctor --format json` prints.

Invariant: the keys are the fields of `Finding` and `NotChecked`, and the text is strict JSON.
"""

from typing import Any

import msgspec

from rldk._version import __version__
from rldk.report.examination import Examination
from rldk.report.text import strict

__all__ = ["as_json"]


def as_json(exam: Examination) -> dict[str, Any]:
    """The diagnosis of a run, as plain data."""
    run = {
        "source": exam.source,
        "format": exam.format,
        "dialect": exam.dialect,
        "algorithm": exam.algorithm,
        "records": exam.records,
        "first_step": exam.first_step,
        "last_step": exam.last_step,
        "ended": exam.state == "ended",
    }
    result = msgspec.to_builtins(exam.diagnosis, enc_hook=str)
    diagnosis = {key: result[key] for key in ("status", "findings", "not_checked")}
    found: dict[str, Any] = strict({"rldk": __version__, "run": run, **diagnosis})
    return found

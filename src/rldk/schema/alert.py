"""An alert and the finding in it, as `{run_id}_alerts.json` and `rldk doctor --format json` hold them.

Invariant: plain data; every field is written as it stands here.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

__all__ = ["Alert", "Finding"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One condition that was found, as `rldk doctor --format json` prints it."""

    rule: str
    """Name of the rule, such as `kl-blowup`."""
    code: str
    """Code of the rule, such as `POL001`."""
    severity: Literal["info", "warning", "critical"]
    """How bad it is."""
    confidence: float
    """0 to 1."""
    onset_step: int
    """Step at which it began."""
    first_step: int
    """Step at which it was first reported."""
    last_step: int
    """Step at which it last held."""
    message: str
    """One sentence with the numbers that decided."""
    evidence: Mapping[str, Any]
    """These numbers, by metric or by what they are."""
    caused_by: str | None
    """The finding that explains this one, by its rule's name."""
    causes: list[str]
    """Possible causes, the likeliest first."""
    remedies: list[str]
    """What to change, the first thing first."""
    last_good_step: int | None
    """The last train record before the onset."""
    last_good_checkpoint: str | None
    """The newest checkpoint up to that step that is still there and not known to be bad."""
    samples: list[Any]
    """Completions that show it ([samples.md](samples.md))."""
    summary: str = ""
    """What its rule looks for, in one sentence; empty where an older rldk recorded it."""
    last_good_because: str | None = None
    """How it is known that the checkpoint is good."""

    def __repr__(self) -> str:
        return f"<Finding {self.severity} {self.rule} since step {self.onset_step}: {self.message!r}>"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of `{run_id}_alerts.json`."""

    time: str
    """UTC, ISO 8601."""
    step: int
    """The record at which it was noticed."""
    finding: Finding
    """What was found, as `rldk doctor --format json` prints it."""

"""The alert and its finding, as `{run_id}_alerts.json` and `rldk doctor --format json` hold them.

Invariant: plain data; every field is written under its name here.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

__all__ = ["Alert", "Finding", "Levels"]


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers that the first metric of `shown_on` was compared with, in its own unit."""

    baseline: float | None = None
    """The level that counts as the run's own; None where the rule compares with none."""
    limit: float | None = None
    """The level at which the rule reports; None where it is no single number."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One finding, as `rldk doctor --format json` prints it."""

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
    """The numbers that decided, by metric or by a short name."""
    caused_by: str | None
    """The rule of the finding that explains this one."""
    causes: list[str]
    """Possible causes, the likeliest first."""
    remedies: list[str]
    """Changes to make, the first one first."""
    last_good_step: int | None
    """The last train record before the onset."""
    last_good_checkpoint: str | None
    """The newest checkpoint up to that step that still exists and is not known to be bad."""
    samples: list[Any]
    """Completions that show the finding ([samples.md](samples.md))."""
    summary: str = ""
    """What the rule looks for, in one sentence; empty in records of an older rldk."""
    last_good_because: str | None = None
    """Why the checkpoint counts as good."""
    shown_on: list[str] = []
    """Canonical metrics of the run on which the finding can be seen, the one that decided first."""
    levels: Levels = Levels()
    """What that first metric was compared with."""
    spans: list[tuple[int, int]] = []
    """First and last step of each stretch in which it held, in order; at most 50, beyond which the nearest
    stretches are joined."""

    def __repr__(self) -> str:
        return f"<Finding {self.severity} {self.rule} since step {self.onset_step}: {self.message!r}>"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of `{run_id}_alerts.json`."""

    time: str
    """UTC, ISO 8601."""
    step: int
    """Step of the record at which rldk noticed it."""
    finding: Finding
    """The finding, as `rldk doctor --format json` prints it."""

"""What a user asks of a recording.

Owns the options that every way of recording has. Invariant: options that exist are valid.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from rldk.health import Rule, Settings
from rldk.recording.writer import check_options

__all__ = ["RecordingOptions", "is_set"]


class RecordingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a recording, as `RLDKCallback` documents them.

    Raises:
        TypeError: an option is of the wrong type.
        ValueError: an option is out of range, or there is no such rule.
    """

    output_dir: str | Path
    """Folder of the files."""
    run_id: str | None
    """Name of the run, and prefix of its files; None: the trainer suggests one."""
    enable_jsonl_logging: bool
    """Whether to write the events."""
    enable_resource_monitoring: bool
    """Whether to measure the machine."""
    enable_checkpoint_analysis: bool
    """Whether to read each checkpoint after it was saved."""
    samples_per_step: int
    """Completions to keep of each step."""
    alert_thresholds: Mapping[str, Mapping[str, Any]] | None
    """Options of rules, by rule."""
    select: Sequence[str] | None
    """Rules to judge by; None: all."""
    ignore: Sequence[str] | None
    """Rules to leave out."""
    rules: Sequence[type[Rule]] | None = None
    """Rules of the user's own."""
    truth_metric: str | None
    """The metric that the reward is a proxy of."""
    stop_on: Literal["critical"] | None
    """The severity of a finding that stops the training."""
    rotate_mb: float | None
    """Megabytes (10^6 bytes) after which a new part of the events begins; None: never."""
    compress: bool
    """Whether to gzip finished parts."""
    flush_interval: float
    """Seconds that events may wait in memory to be written together."""

    def __post_init__(self) -> None:
        for name in ("run_id", "truth_metric"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise TypeError(f"{name} must be a str or None, not {type(value).__name__}")
        if type(self.samples_per_step) is not int or self.samples_per_step < 0:
            raise ValueError(
                f"samples_per_step must be a whole number of 0 or more, not {self.samples_per_step!r}"
            )
        if self.stop_on not in (None, "critical"):
            raise ValueError(f"stop_on must be 'critical' or None, not {self.stop_on!r}")
        check_options(rotate_mb=self.rotate_mb, flush_interval=self.flush_interval)

    def settings(self) -> Settings:
        """How the run is judged.

        Raises:
            TypeError: the options of a rule are no mapping, or one of `rules` is no class of a rule.
            ValueError: there is no such rule or option, a value is of the wrong type, or one of `rules`
                clashes with another rule.
        """
        return Settings(
            select=None if self.select is None else _names(self.select),
            ignore=_names(self.ignore or ()),
            thresholds={name: dict(options) for name, options in (self.alert_thresholds or {}).items()},
            truth_metric=self.truth_metric,
            rules=tuple(self.rules or ()),
        ).check()

    def writing(self) -> dict[str, Any]:
        """The options of the `JsonlWriter`."""
        return {
            "rotate_mb": self.rotate_mb,
            "compress": self.compress,
            "flush_interval": self.flush_interval,
        }


def is_set(variable: str) -> bool:
    """Whether an environment variable, such as `RLDK_DISABLED`, switches something on."""
    return os.environ.get(variable, "").strip().lower() in ("1", "true", "yes", "on")


def _names(given: Sequence[str]) -> tuple[str, ...]:
    """Names of rules as a tuple; a single text is one name."""
    return (given,) if isinstance(given, str) else tuple(given)

"""The structs of `{run_id}_run.json`: the run, each attempt at it, and its end.

Owns that file's structs, for its writer and its readers. Invariant: a file of another version or of a broken
disk is read as far as it is valid. An invalid field has its default, and nothing raises.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from rldk.schema.training_start import TrainingStart

__all__ = ["NOT_CLOSED", "Attempt", "How", "RunEnd", "RunInfo", "attempt_of", "read_run_info"]

How = Literal["completed", "stopped", "exception", "interrupted", "terminated", "unknown"]
"""`completed`: the run made all its steps. `stopped`: the training ended itself before that. `exception`,
`interrupted`, `terminated`: an error, Ctrl-C or a signal ended it. `unknown`: the process exited, or trained
again, without ending it."""

NOT_CLOSED = "the recording was not closed: use `with` or `run.close()`"
"""The `detail` of an `unknown` end of a loop that is recorded by `rldk.record`."""

T = TypeVar("T", bound=msgspec.Struct)


class RunEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a run, or the process of a rank, ended, and what happened to its records."""

    how: str | None = None
    """A value of `How`; `native`: an error below Python, as `faulthandler` wrote it; None: no end was
    recorded, as after a kill."""
    detail: str | None = None
    """The exception on one line, the signal, or the native error."""
    step: int | None = None
    """The last known step."""
    wall_time: float | None = None
    """Seconds from the beginning of the run, over all attempts."""
    time: str | None = None
    """When it ended: UTC, ISO 8601."""
    records: int = 0
    """Events recorded by this attempt."""
    records_lost: int = 0
    """Events dropped because the disk refused them for too long."""
    records_in_memory: int = 0
    """Events still in memory at the end, because the disk had not accepted them."""
    sync_error: str | None = None
    """The disk's error when it could not store data that it had accepted; then records may be missing."""
    hook_failures: int = 0
    """Exceptions inside rldk that never reached the training."""
    where: str | None = None
    """The innermost frame of the exception, or of the main thread when the signal came."""
    activity: str | None = None
    """What the process was doing: `generation`, `the reward function f (rewards.py:12)`."""
    during: str | None = None
    """The phase in which it ended: `a save`, `an evaluation`, `a compilation`."""
    lines_lost: int = 0
    """Lines of other files than the events, such as samples and resources, that the disk refused."""
    records_delayed: int = 0
    """Events that waited in memory because the disk did not answer; a kill would have lost them."""
    longest_disk_wait: float = 0.0
    """Seconds of the longest wait for the disk."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: a start of a run, with the fields that rldk reads again."""

    started: str | None = None
    """UTC, ISO 8601."""
    from_step: int = 0
    """The step from which the training starts or resumes."""
    from_seconds: float | None = None
    """Seconds that the run had run before this attempt."""
    algorithm: str | None = None
    """`grpo`, `dpo`, ..."""
    dialect: str | None = None
    """The dialect of a loop's keys, `generic` without a framework; None: TRL's keys, by `RLDKCallback`."""
    args: dict[str, Any] = {}
    """The trainer's arguments, without secrets."""
    versions: dict[str, Any] = {}
    """Versions of the packages."""
    model_class: str | None = None
    """Class of the model."""
    model_config: dict[str, Any] = {}
    """Configuration of the model."""
    start: TrainingStart = TrainingStart()
    """What the trainer held when the training began."""
    judging: dict[str, Any] = {}
    """The `Settings` of the live doctor."""
    recorded: dict[str, Any] = {}
    """The whole entry of the file, as plain data."""


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of `{run_id}_run.json`; `RunInfo()` where there is no file."""

    rldk: str | None = None
    """The version that recorded the newest attempt."""
    event_schema: int | None = None
    """Version of the Event."""
    run_id: str | None = None
    """The run's name, safe as a part of a file name."""
    name: str | None = None
    """The run's name as the user gave it."""
    trainer_dir: str | None = None
    """The trainer's `output_dir`."""
    attempts: tuple[Attempt, ...] = ()
    """The starts of the run, oldest first."""
    end: RunEnd | None = None
    """How the newest attempt ended; None while it runs, and after a kill."""

    @classmethod
    def of(cls, recorded: Any) -> "RunInfo":
        """The RunInfo of the file's content, as far as it is valid."""
        fields = recorded if isinstance(recorded, dict) else {}
        attempts, end = fields.get("attempts"), fields.get("end")
        plain = {name: value for name, value in fields.items() if name not in ("attempts", "end")}
        return msgspec.structs.replace(
            _valid(cls, plain),
            attempts=tuple(map(attempt_of, attempts)) if isinstance(attempts, list) else (),
            end=_valid(RunEnd, end) if isinstance(end, dict) and end else None,
        )

    def as_recorded(self) -> dict[str, Any]:
        """The file's content, as plain data."""
        plain: dict[str, Any] = msgspec.to_builtins(msgspec.structs.replace(self, attempts=()))
        return plain | {"attempts": [attempt.recorded for attempt in self.attempts]}

    @property
    def newest(self) -> Attempt:
        """The newest attempt; an empty `Attempt()` where there is none."""
        return self.attempts[-1] if self.attempts else Attempt()

    def is_superseded(self, attempt: Any, step: int) -> bool:
        """Whether a later attempt resumed before the step of a line of samples, checkpoints or resources.

        Args:
            attempt: the line's attempt, counted from 1; a line with any other value is never superseded.
            step: the line's step.
        """
        later = self.attempts[attempt:] if isinstance(attempt, int) and attempt > 0 else ()
        return bool(later) and step > min(start.from_step for start in later)


def attempt_of(recorded: Any) -> Attempt:
    """The Attempt of an entry of `attempts`, as far as it is valid."""
    fields = recorded if isinstance(recorded, dict) else {}
    attempt = _valid(Attempt, {name: value for name, value in fields.items() if name != "recorded"})
    return msgspec.structs.replace(attempt, recorded=fields)


def read_run_info(path: Path) -> RunInfo:
    """The RunInfo of a file; `RunInfo()` if its content is not valid.

    Args:
        path: `RunFiles.run`.

    Raises:
        OSError: it cannot be read.
    """
    content = path.read_bytes()
    try:
        return RunInfo.of(msgspec.json.decode(content))
    except (msgspec.DecodeError, RecursionError):
        return RunInfo()


def _valid(kind: type[T], fields: Mapping[str, Any]) -> T:
    """A struct made of the valid fields; the others have their defaults."""
    try:
        return msgspec.convert(fields, kind)
    except msgspec.ValidationError:
        valid = {}
        for field in msgspec.structs.fields(kind):
            try:
                valid[field.name] = msgspec.convert(fields[field.name], field.type)
            except (KeyError, msgspec.ValidationError):
                continue
        return kind(**valid)

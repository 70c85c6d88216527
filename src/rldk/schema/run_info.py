"""`{run_id}_run.json`: what ran, each start of it, and how it ended.

Owns that file's structs, for its writer and its readers. Invariant: what another version or a broken disk
left in it is read as far as it is valid; a field that is not has its default, and nothing raises.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

__all__ = ["Attempt", "How", "RunEnd", "RunInfo", "attempt_of", "read_run_info"]

How = Literal["completed", "stopped", "exception", "interrupted", "terminated", "unknown"]
"""`completed`: it did all its steps; `stopped`: the training ended itself before that;
`exception`, `interrupted`, `terminated`: an error, Ctrl-C or a signal ended it; `unknown`: the process
went away, or trained again, without ending it."""

T = TypeVar("T", bound=msgspec.Struct)


class RunEnd(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, or the process of one of its ranks, and what became of the records."""

    how: str | None = None
    """One of `How`; `native`: an error below Python, as `faulthandler` wrote it; None: no end was recorded,
    as after a kill."""
    detail: str | None = None
    """The exception as a line, the signal, or the native error."""
    step: int | None = None
    """The last step that was known."""
    wall_time: float | None = None
    """Seconds from the beginning of the run, over all attempts."""
    time: str | None = None
    """When it ended: UTC, ISO 8601."""
    records: int = 0
    """Events recorded by this attempt."""
    records_lost: int = 0
    """Events that the disk refused for so long that they were given up."""
    records_in_memory: int = 0
    """Events that the disk had still not taken at the end."""
    sync_error: str | None = None
    """What the disk said when it could not keep what it had taken; then records may be missing."""
    hook_failures: int = 0
    """Exceptions inside rldk that were kept from the training."""
    where: str | None = None
    """The innermost frame of the exception, or of the main thread when the signal came."""
    activity: str | None = None
    """What that was busy with: `generation`, `the reward function f (rewards.py:12)`."""
    during: str | None = None
    """What else it was in the midst of: `a save`, `an evaluation`, `a compilation`."""
    lines_lost: int = 0
    """Lines of the files beside the events, as samples and resources, that the disk refused."""
    records_delayed: int = 0
    """Events that waited in memory for a while, as the disk did not answer: a kill would have lost them."""
    longest_disk_wait: float = 0.0
    """The longest time in seconds in which the disk did not answer."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One start of a run: the fields that rldk reads again."""

    started: str | None = None
    """UTC, ISO 8601."""
    from_step: int = 0
    """The step from which the training goes on."""
    from_seconds: float | None = None
    """Seconds that the run had gone on before."""
    algorithm: str | None = None
    """`grpo`, `dpo`, ..."""
    dialect: str | None = None
    """Whose keys a loop logs, `generic` where of no framework; None: those of TRL, by `RLDKCallback`."""
    args: dict[str, Any] = {}
    """The trainer's arguments, without secrets."""
    versions: dict[str, Any] = {}
    """Versions of the packages."""
    model_class: str | None = None
    """Class of the model."""
    model_config: dict[str, Any] = {}
    """Configuration of the model."""
    judging: dict[str, Any] = {}
    """The `Settings` of the live doctor."""
    recorded: dict[str, Any] = {}
    """The whole entry, as the file holds it."""


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What `{run_id}_run.json` says; `RunInfo()` where there is none."""

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
    """How the newest attempt ended; None while it goes on, and after a kill."""

    @classmethod
    def of(cls, recorded: Any) -> "RunInfo":
        """What the file's content says, as far as it is valid."""
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
        """The newest attempt; one of which nothing is known where there is none."""
        return self.attempts[-1] if self.attempts else Attempt()

    def is_superseded(self, attempt: Any, step: int) -> bool:
        """Whether a later attempt went on from an earlier step than that of a line beside the events.

        Args:
            attempt: of which start the line is, counted from 1; of anything else nothing is superseded.
            step: where it stands.
        """
        later = self.attempts[attempt:] if isinstance(attempt, int) and attempt > 0 else ()
        return bool(later) and step > min(one.from_step for one in later)


def attempt_of(recorded: Any) -> Attempt:
    """What an entry of `attempts` says, as far as it is valid."""
    fields = recorded if isinstance(recorded, dict) else {}
    attempt = _valid(Attempt, {name: value for name, value in fields.items() if name != "recorded"})
    return msgspec.structs.replace(attempt, recorded=fields)


def read_run_info(path: Path) -> RunInfo:
    """What the file says; `RunInfo()` where its content is not valid.

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
    """A struct of the fields that are valid."""
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

"""The Recorder: one run being made, from its first event to its end.

Owns the files of one run while a training runs. Invariant: when `record` has returned, the event is
with the operating system or waits in memory for a full disk; no method raises for what a disk can do.
"""

import atexit
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from rldk import __version__
from rldk.event import SCHEMA_VERSION, Event, encode_into, escaped, resumed_note
from rldk.files import RunFiles, replacing
from rldk.fork import give_up_in_child
from rldk.health import Diagnosis
from rldk.recording.guard import Guard
from rldk.recording.naming import Claim
from rldk.recording.redaction import redact
from rldk.recording.watch import Watch
from rldk.recording.writer import JsonlWriter
from rldk.runs import Run
from rldk.runs.endings import with_ending
from rldk.speech import warn

__all__ = ["Ending", "How", "Recorder"]

How = Literal["completed", "stopped", "exception", "interrupted", "unknown"]


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended, and what became of its records."""

    how: How
    """`completed`: it did all its steps; `stopped`: the training ended itself before that;
    `exception`, `interrupted`: an error or Ctrl-C ended it; `unknown`: the process went away, or
    trained again, without ending it. A run that was killed has no Ending at all."""
    detail: str | None
    """The exception, where there was one."""
    step: int
    """The last step recorded."""
    wall_time: float
    """Seconds from the beginning of the run, over all attempts."""
    time: str
    """UTC, ISO 8601."""
    records: int
    """Events recorded by this attempt."""
    records_lost: int
    """Events that the disk refused for so long that they were given up."""
    records_in_memory: int
    """Events that the disk had still not taken at the end."""
    sync_error: str | None
    """What the disk said when it could not keep what it had taken; then records may be missing."""
    hook_failures: int
    """Exceptions inside rldk that were kept from the training."""


class Recorder:
    """Records one run.

    Args:
        claimed: the run and its lock (`naming.claim`).
        from_step: the step that the training goes on from.
        writer: takes the events; None where the JSONL is off.
        about: what ran; goes into `{run_id}_run.json` (secrets already blanked).
        watch: judges the events, and says what is wrong.
        write_end: makes the files of the end (tables, report) when the run ends.
        guard: counts the exceptions that were kept from the training.
    """

    def __init__(
        self,
        claimed: Claim,
        *,
        from_step: int,
        writer: JsonlWriter | None,
        about: dict[str, Any],
        watch: Watch,
        write_end: Callable[[RunFiles, Ending, Diagnosis], None],
        guard: Guard,
    ) -> None:
        self.files = claimed.files
        """Where the run is recorded."""
        self.ended: Ending | None = None
        """How the run ended; None while it is going on."""
        self.watch = watch
        """What judges it."""
        self.training = True
        """Whether a training is recorded, and not evaluations alone, which end without saying so."""
        self._name = claimed.name
        self._lock = claimed.lock
        self._writer = writer
        self._write_end = write_end
        self._guard = guard
        self._line = bytearray()
        self._records = 0
        self._step = from_step
        self._stale = False
        self._disowned = False
        self._error_before = getattr(sys, "last_value", None)
        self._first_notes: tuple[str, ...] = (resumed_note(from_step),) if from_step > 0 else ()
        last = None
        with suppress(OSError):
            last = Run(self.files).last() if claimed.resumed else None
        self._origin = time.monotonic() - ((last and last.wall_time) or 0.0)
        self._info = self._begin_info(from_step, about, claimed.resumed)
        self._save(self.files.run, self._info)
        if not self.files.alerts.exists():
            self._save(self.files.alerts, [])
        self._begin_watch(claimed, from_step)
        give_up_in_child(self)
        atexit.register(self._at_exit)

    @property
    def wall_time(self) -> float:
        """Seconds since the run began, going on across resumes."""
        return time.monotonic() - self._origin

    def record(self, event: Event) -> None:
        """Take one event."""
        if self._first_notes:
            event = msgspec.structs.replace(event, notes=(*event.notes, *self._first_notes))
        if self._writer is not None:
            encode_into(event, self._line)
            self._writer.write(self._line)
        self._first_notes = ()
        self._records += 1
        self._step = event.step
        self._stale = True
        if self.watch.see(event):
            self.sync()

    def sync(self) -> None:
        """Ask for what was recorded to be made to survive a loss of power; returns at once."""
        if self._writer is not None:
            self._writer.sync()

    def end(self, how: How, detail: str | None = None) -> Ending | None:
        """End the run and write the files of the end. Events recorded later are still taken.

        In a forked child it does nothing, and returns None.
        """
        if self._disowned:
            return None
        if self._writer is not None:
            self._writer.close()
        self.ended = Ending(
            how=how,
            detail=redact(escaped(detail)),
            step=self._step,
            wall_time=self.wall_time,
            time=_now(),
            records=self._records,
            records_lost=self._writer.lost if self._writer else 0,
            records_in_memory=self._writer.waiting if self._writer else 0,
            sync_error=self._writer.sync_error if self._writer else None,
            hook_failures=self._guard.failures,
        )
        self._info["end"] = msgspec.to_builtins(self.ended)
        self.watch.save()
        if not self.files.alerts.exists():
            self._save(self.files.alerts, [])
        self._save(self.files.run, self._info)
        try:
            self._finish_files(self.ended)
        finally:
            self._lock.release()
        return self.ended

    def close(self) -> None:
        """Bring the files of the end up to date, if events came after it, or end the run as it is."""
        if self._disowned:
            return
        atexit.unregister(self._at_exit)
        if self.ended is None:
            how, detail = self._why()
            self.end(how, detail)
            if not self.training:
                return
            warn(
                "rldk: the training did not end by itself (%s); its records are in %s",
                detail or how,
                self.files.folder / self.files.run_id,
            )
        elif self._stale or (self._writer is not None and self._writer.waiting):
            if self._writer is not None:
                self._writer.close()
            self._finish_files(self.ended)

    def disown(self) -> None:
        """In a forked child: the run is the parent's, and nothing here does anything any more."""
        self._disowned = True
        self._writer = None

    def _at_exit(self) -> None:
        with suppress(Exception):
            self.close()

    def _why(self) -> tuple[How, str | None]:
        """How a training ended that did not say so: by the error that Python reported since."""
        error = getattr(sys, "last_value", None)
        if error is None or error is self._error_before:
            return ("unknown" if self.training else "completed"), None
        how: How = "interrupted" if isinstance(error, KeyboardInterrupt) else "exception"
        try:
            return how, f"{type(error).__name__}: {error}"[:500]
        except Exception:
            return how, type(error).__name__

    def _begin_watch(self, claimed: Claim, from_step: int) -> None:
        if not claimed.resumed:
            self.watch.begin()
            return
        with suppress(OSError):
            # Of the attempt before, what came after the checkpoint is superseded.
            self.watch.resume(event for event in Run(self.files) if event.step <= from_step)

    def _begin_info(self, from_step: int, about: dict[str, Any], resumed: bool) -> dict[str, Any]:
        info = Run(self.files).info if resumed else {}
        attempts = info.get("attempts")
        attempt = {"started": _now(), "from_step": from_step, **about}
        return {
            "rldk": __version__,
            "event_schema": SCHEMA_VERSION,
            "run_id": self.files.run_id,
            "name": self._name,
            "trainer_dir": about.get("trainer_dir"),
            "attempts": [*(attempts if isinstance(attempts, list) else []), attempt],
            "end": None,
        }

    def _finish_files(self, ending: Ending) -> None:
        self._stale = False
        try:
            found = self.watch.diagnosis()
            context, step = self.watch.monitor.context, ending.step
            found = with_ending(found, context, how=ending.how, detail=ending.detail, step=step)
            self._write_end(self.files, ending, found)
        except OSError as error:
            if self._writer is not None and self._writer.waiting:
                return  # the events are not all there either, as was said when the disk refused them
            warn(
                "rldk: cannot write the files of the end of %s (%s); when there is room: rldk export %s",
                self.files.run_id,
                error,
                self.files.folder / self.files.run_id,
            )

    def _save(self, path: Path, value: Any) -> None:
        """Write a small JSON file in one step. Where the disk refuses, the writer says so, once for all."""
        try:
            with replacing(path) as file:
                file.write(msgspec.json.format(msgspec.json.encode(escaped(value)), indent=2) + b"\n")
        except OSError as error:
            if self._writer is None:
                warn("rldk: cannot write %s (%s); training goes on", path, error.strerror)
        except (TypeError, ValueError, RecursionError) as error:  # a configuration of strange values
            self._guard.caught(f"writing {path.name}", error)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")

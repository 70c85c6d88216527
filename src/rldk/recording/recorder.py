"""The Recorder: one run being made, from its first event to its end.

Owns the files of one run while a training runs. Invariant: when `record` has returned, the event is
with the operating system or waits in memory for a disk that is full or does not answer; no method raises for
what a disk can do, or waits for one that does nothing; secrets are blanked in all that is written.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import msgspec

from rldk._after_fork import disown_in_child
from rldk._log import warn
from rldk._version import __version__
from rldk.health import Diagnosis, Observation, Rule
from rldk.lock import RunLock
from rldk.recording.claim import Claim
from rldk.recording.crash_recorder import CrashRecorder, Section
from rldk.recording.crash_writer import last_lines, now
from rldk.recording.disk import BEGIN_SECONDS, END_SECONDS, EXIT_SECONDS, Disk, Job
from rldk.recording.exit_hooks import within
from rldk.recording.guard import Guard
from rldk.recording.json_file import JsonFile
from rldk.recording.live_doctor import LiveDoctor, without_secrets
from rldk.recording.redaction import redact, redact_texts, shortened
from rldk.recording.writer import JsonlWriter
from rldk.runs import RecordedRun
from rldk.schema.event import SCHEMA_VERSION, Event, encode_into, escaped, resumed_note
from rldk.schema.files import RunFiles
from rldk.schema.run_info import How, RunEnd, RunInfo, attempt_of
from rldk.schema.training_start import TrainingStart

__all__ = ["Recorder"]

LAST_RECORDS = 50
"""Records that a crash file shows."""
TEXT_NOTE = "text:"
"""What the notes begin with that hold a text that the trainer logged."""
NOTE_CHARS = 199
"""A longer text was cut, and its last word may be a part of a secret."""
LOCK_SECONDS = 3.0
"""How long a signal's thread waits for what the interrupted main thread may hold."""
SAYING_SECONDS = 1.0
"""The same for the line at the end, without which all is written."""


class Recorder:
    """Records one run.

    Args:
        claimed: the run and its lock (`naming.claim`).
        from_step: the step that the training goes on from.
        writer: takes the events; None where the JSONL is off.
        info: what ran; goes into `{run_id}_run.json`, its secrets blanked.
        live_doctor: judges the events, and says what is wrong.
        write_end: makes the files of the end (tables, report) when the run ends.
        guard: counts the exceptions that were kept from the training.
        disk: the disk of the files; one of its own by default.
        began: when the training began, by `time.monotonic`; now by default.
        unknown_end: what an end means that nobody reported; by default, the training ended early.

    To be made in the thread of the disk, if it is given: much is read and written.
    """

    def __init__(
        self,
        claimed: Claim,
        *,
        from_step: int,
        writer: JsonlWriter | None,
        info: dict[str, Any],
        live_doctor: LiveDoctor,
        write_end: Callable[[RunFiles, RunEnd, Diagnosis, Sequence[type[Rule]]], None],
        guard: Guard,
        disk: Disk | None = None,
        began: float | None = None,
        unknown_end: str | None = None,
    ) -> None:
        self.files = claimed.files
        """Where the run is recorded."""
        self.ended: RunEnd | None = None
        """How the run ended; None while it is going on."""
        self.live_doctor = live_doctor
        """What judges it."""
        self.training = False
        """Whether a training is recorded, and not evaluations alone, which end without saying so."""
        self.lines_lost = 0
        """Lines beside the events that the disk refused; counted by who writes them."""
        self.events_lost = 0
        """Events that were given up before the run could begin."""
        self.events_delayed = 0
        """Events that waited for the run to begin."""
        self._name = claimed.name
        self._lock = claimed.lock
        self._unknown_end = unknown_end
        self._writer = writer
        self._write_end = write_end
        self._guard = guard
        self.disk = disk or Disk(guard.caught)
        """What all files of the run are written through."""
        self._run_file = JsonFile(self.files.run, self.disk, guard, durably=True)
        self.is_ending = False
        """Whether the run ends, though its disk may not have the files of the end yet."""
        self._line = bytearray()
        self._records = 0
        self._from_step = self._step = from_step
        self._stale = False
        self._has_failed_to_end = False
        self._disowned = False
        self._notice: str | None = None
        self._monitor_held = False  # by the main thread, which a signal interrupted
        self._first_notes: tuple[str, ...] = (resumed_note(from_step),) if from_step > 0 else ()
        last = None
        with suppress(OSError):
            last = RecordedRun(self.files).last() if claimed.resumed else None
        before = (last and last.wall_time) or 0.0
        self._began = time.monotonic() if began is None else began
        self._origin = self._began - before
        info = without_secrets(info) | {"from_seconds": before}
        self._info = self._begin_info(from_step, info, claimed.resumed)
        self._run_file.save(self._info.as_recorded())
        self._begin_live_doctor(claimed, from_step)
        disown_in_child(self)
        self._crash_recorder = self._new_crash_recorder()
        self.disk.at_process_end(self._at_exit)

    def begin_training(self, start: TrainingStart | None = None) -> None:
        """A training begins, and no evaluation alone: an error and a signal are its end from now on.

        To be called from within the trainer, by which the errors that come out of it are known.

        Args:
            start: what the trainer holds; the run's file lacks it where the run began with evaluations.
        """
        self.training = True
        attempt = self._info.newest
        if start is not None and start != attempt.start:
            recorded = attempt.recorded | {"start": msgspec.to_builtins(start)}
            attempts = (*self._info.attempts[:-1], attempt_of(recorded))
            self._info = msgspec.structs.replace(self._info, attempts=attempts)
            self.live_doctor.begin_training(start)
        if self.ended is not None:  # by evaluations alone
            self.ended, self._info = None, msgspec.structs.replace(self._info, end=None)
            self.is_ending = False
            self._is_done(self._begin_again, BEGIN_SECONDS)
        self._crash_recorder = self._new_crash_recorder()
        self._crash_recorder.begin()
        self.disk.at_process_end(self._at_exit)  # again, to come before the end of the crash recorder

    def _begin_again(self) -> None:
        self._lock = RunLock.acquire(self.files.lock) or self._lock
        self._run_file.save(self._info.as_recorded())

    @property
    def wall_time(self) -> float:
        """Seconds since the run began, going on across resumes."""
        return time.monotonic() - self._origin

    def wall_time_at(self, moment: float) -> float:
        """The same at another moment, by `time.monotonic`."""
        return moment - self._origin

    def record(self, event: Event) -> None:
        """Take one event."""
        if event.notes:
            event = msgspec.structs.replace(event, notes=tuple(map(_safe_note, event.notes)))
        if self._first_notes:
            event = msgspec.structs.replace(event, notes=(*event.notes, *self._first_notes))
        if self._writer is not None:
            encode_into(event, self._line)
            self._writer.write(self._line)
        self._first_notes = ()
        self._records += 1
        self._step = event.step
        if not self._stale:
            self.outdate()
        if self.live_doctor.observe(event):
            self.sync()

    @property
    def has_events(self) -> bool:
        """Whether the events are recorded, and not the other files alone."""
        return self._writer is not None

    def sync(self) -> None:
        """Ask for what was recorded to be made to survive a loss of power; returns at once."""
        if self._writer is not None:
            self._writer.sync()

    def outdate(self) -> None:
        """Something is new: if the files of the end are there, `close` writes them again."""
        self._stale = True
        if self.ended is not None:
            self.disk.at_process_end(self._at_exit)

    def end(self, how: How, detail: str | None = None) -> RunEnd | None:
        """End the run and write the files of the end. Events recorded later are still taken.

        None in a forked child, where it does nothing, and where the disk does not answer: then the run ends
        when it does, and the end of the process waits for that.
        """
        return None if self._disowned else self._end_within(END_SECONDS, how, detail)

    def _end_within(
        self, wait_s: float, how: str, detail: str | None, *, once: bool = False
    ) -> RunEnd | None:
        self.is_ending = True
        try:
            with self._crash_recorder.undisturbed():
                done = self._is_done(
                    partial(self._close_and_end, how, detail, self._found, once=once), wait_s
                )
            return self.ended if done else None
        except BaseException:  # Ctrl-C
            self.is_ending = False
            raise
        finally:
            self._crash_recorder.end()
            self.disk.not_at_process_end(self._at_exit)  # it would keep the training's state alive
            if self.ended is None or self._stale:
                self.disk.at_process_end(self._at_exit)
            self.disk.close()

    def close(self, wait_s: float = EXIT_SECONDS) -> None:
        """Bring the files of the end up to date, if events came after it, or end the run as it is.

        It waits `wait_s` for a disk that does nothing; if that is short, the process's end waits again.
        """
        if self._disowned:
            return
        self.disk.not_at_process_end(self._at_exit)
        if self.ended is not None or self.is_ending:
            done = self._is_done(self._renew, wait_s)
        else:
            self.note_caught(wait_s)
            noted = self._crash_recorder.ended or RunEnd()
            how = noted.how or ("unknown" if self.training else "completed")
            detail = noted.detail if how != "unknown" else noted.detail or self._unknown_end
            done = self._end_within(wait_s, how, detail, once=True) is not None
            if self.training and (self.ended is None or self.ended.how != "completed"):
                self._print_location()
        if not done and wait_s < EXIT_SECONDS:
            self.disk.at_process_end(self._at_exit)
        elif not done:
            self._warn_of_missing()

    def _is_done(self, call: Callable[[], None], wait_s: float) -> bool:
        """Have something done by the disk's thread, which may compute for as long as it needs."""
        return self.disk.run(Job(call), wait_s, insists=True, while_it_works=True)

    def _renew(self) -> None:
        """Write the files of the end again, if there is reason to."""
        if self.ended is None or not self._stale or self.goes_on_elsewhere:
            return  # of the files of a run that goes on elsewhere the other attempt takes care
        if self._writer is not None:
            self._writer.close()
        self._run_file.save(self._info.as_recorded())
        self.live_doctor.close()
        self._finish_files(self.ended, self._found)
        self._leave_files()

    def note_caught(self, wait_s: float = EXIT_SECONDS) -> None:
        """Note the exception that ended the training and was caught, where it can still be found."""
        if self.training and self.ended is None and not self._disowned:
            self._crash_recorder.note_caught(wait_s)

    @property
    def goes_on_elsewhere(self) -> bool:
        """Whether another attempt of the run has begun since, in this process or in another one."""
        attempts: list[int] = []
        ask = Job(lambda: attempts.append(len(RecordedRun(self.files).info.attempts)))
        if not self.disk.run(ask, EXIT_SECONDS, insists=True, while_it_works=True):
            return True  # nobody knows: then the files are not this attempt's to change
        return attempts[0] > len(self._info.attempts)

    def disown(self) -> None:
        """In a forked child: the run is the parent's, and nothing here does anything any more."""
        self._disowned = True
        self._writer = None

    def _new_crash_recorder(self) -> CrashRecorder:
        return CrashRecorder(
            self.files.crash(),
            self._from_step,
            step=lambda: self._step,
            account=self._account,
            finish=self._finish_at_signal,
            on_notice=self._noticed,
            disk=self.disk,
        )

    def _close_and_end(
        self, how: str, detail: str | None, found: Callable[[RunEnd], Diagnosis], *, once: bool = False
    ) -> None:
        """Write the files of the end; `once`: if that was not done meanwhile."""
        if once and self.ended is not None:
            return
        if self._writer is not None:
            self._writer.close()
        if detail in (None, self._unknown_end) and how in ("stopped", "unknown") and self._notice:
            detail = f"after {self._notice}"
        self._crash_recorder.close_file()
        self.ended = end = self._note_end(how, detail)
        self.live_doctor.close()
        try:
            self._finish_files(end, found)
        finally:
            self._leave_files()
            self._lock.release()

    def _leave_files(self) -> None:
        """Leave the files to another attempt; what the disk has not taken is tried once more by `close`."""
        waits = self._writer is not None and self._writer.waiting
        if not self._run_file.is_saved or self.live_doctor.is_unsaved or waits:
            self._stale = True
        self._run_file.give_up()

    def _note_end(self, how: str, detail: str | None) -> RunEnd:
        """Note in the run's file how it ends."""
        noted = self._crash_recorder.ended
        location = noted if noted and noted.how == how else RunEnd()
        end = RunEnd(
            how=how,
            detail=redact_texts(escaped(detail)),
            step=self._step,
            wall_time=self.wall_time,
            time=now(),
            records=self._records,
            records_lost=self.events_lost + (self._writer.lost if self._writer else 0),
            records_in_memory=self._writer.waiting if self._writer else 0,
            sync_error=redact_texts(self._writer.sync_error) if self._writer else None,
            hook_failures=self._guard.failures,
            where=location.where,
            activity=location.activity,
            during=location.during,
            lines_lost=self.lines_lost,
            records_delayed=self.events_delayed + (self._writer.delayed if self._writer else 0),
            longest_disk_wait=round(self.disk.longest_wait_s(self._began), 3),
        )
        self._info = msgspec.structs.replace(self._info, end=end)
        self._run_file.save(self._info.as_recorded())
        return end

    def _print_location(self) -> None:
        end = self.ended or self._crash_recorder.ended  # the disk may not have taken the end yet
        why = (end and (end.detail or end.how)) or "unknown"
        text = why if why == self._unknown_end else f"the training did not end by itself ({why})"
        warn("rldk: %s; its records are in %s", text, self.files.folder / self.files.run_id)

    def _warn_of_missing(self) -> None:
        waiting = self._writer.waiting if self._writer is not None else 0
        warn(
            "rldk: the log disk does not answer; %d records of %s and the files of its end are not on it",
            waiting,
            self.files.folder / self.files.run_id,
        )

    def _at_exit(self) -> None:
        with suppress(Exception):
            self.close()

    def _account(self, noted: RunEnd) -> list[Section]:
        """Note an end in the run's file, and give what the crash file is to say of the run."""
        end = self._note_end(noted.how or "unknown", noted.detail)
        resources = self._end_observation(end).values
        events = last_lines(self.files, LAST_RECORDS) if self._writer is not None else []
        return [
            ("What the doctor found", _summary_lines(self._found_soon(end))),
            ("The machine at the last record", [f"{name} {value}" for name, value in resources.items()]),
            (f"The last records, as in {self.files.events.name}", events),
        ]

    def _finish_at_signal(self, noted: RunEnd) -> None:
        """End the run while the main thread, which was interrupted anywhere, waits for it."""
        if self.ended is not None or self._disowned:
            return
        end = partial(self._close_and_end, noted.how or "unknown", noted.detail, self._found_soon, once=True)
        say = self._print_location if self._is_done(end, EXIT_SECONDS) else self._warn_of_missing
        within(SAYING_SECONDS, say)  # the main thread may hold the lock of the terminal

    def _noticed(self, name: str) -> None:
        self._notice = name
        within(0, self.sync)  # the main thread may have been interrupted in there

    def _end_observation(self, end: RunEnd) -> Observation:
        return RecordedRun(self.files).end_observation(end.step or 0, end)

    def _found(self, end: RunEnd) -> Diagnosis:
        """What was found, with what the end shows."""
        return self.live_doctor.observe_end(self._end_observation(end))

    def _found_soon(self, end: RunEnd) -> Diagnosis:
        """The same where nobody holds the monitor, else what the end alone shows."""
        found: list[Diagnosis] = []
        if not self._monitor_held and within(LOCK_SECONDS, lambda: found.append(self._found(end))) and found:
            return found[0]
        self._monitor_held = True
        return self.live_doctor.judge_end(self._end_observation(end))

    def _begin_live_doctor(self, claimed: Claim, from_step: int) -> None:
        try:
            if claimed.resumed:
                # Of the attempt before, what came after the checkpoint is superseded.
                earlier = (event for event in RecordedRun(self.files) if event.step <= from_step)
                self.live_doctor.resume(earlier)
            else:
                self.live_doctor.begin()
        except FileNotFoundError:  # the attempt before recorded no event
            return
        except Exception as error:
            self._guard.caught("the doctor's begin", error)

    def _begin_info(self, from_step: int, description: dict[str, Any], resumed: bool) -> RunInfo:
        earlier = RecordedRun(self.files).info.attempts if resumed else ()
        recorded = {"started": now(), "from_step": from_step, **description}
        return RunInfo(
            rldk=__version__,
            event_schema=SCHEMA_VERSION,
            run_id=self.files.run_id,
            name=self._name,
            trainer_dir=description.get("trainer_dir"),
            attempts=(*earlier, attempt_of(recorded)),
        )

    def _finish_files(self, end: RunEnd, found: Callable[[RunEnd], Diagnosis]) -> None:
        self._stale = False
        try:
            rules = [type(rule) for rule in self.live_doctor.monitor.rules]
            self._write_end(self.files, end, found(end), rules)
        except OSError as error:
            self._stale = True
            if self._has_failed_to_end or (self._writer is not None and self._writer.waiting):
                return  # the events are not all there either, as was said when the disk refused them
            self._has_failed_to_end = True
            warn(
                "rldk: cannot write the files of the end of %s (%s); when there is room: rldk export %s",
                self.files.run_id,
                error,
                self.files.folder / self.files.run_id,
            )


def _safe_note(note: str) -> str:
    """A note of an event without secrets: only a text can hold one, and a reader parses the other notes."""
    if not note.startswith(TEXT_NOTE):
        return note
    name, equals, text = note.removeprefix(TEXT_NOTE).partition("=")
    return f"{TEXT_NOTE}{name}{equals}{redact(shortened(text, NOTE_CHARS), name)}"


def _summary_lines(found: Diagnosis) -> list[str]:
    """A diagnosis in a line each, with what to do about the first finding."""
    lines = [
        f"{one.severity} {one.rule} since step {one.onset_step}: {one.message}" for one in found.findings
    ]
    remedies = found.findings[0].remedies if found.findings else []
    return [found.status, *lines, *(f"Try: {remedy}" for remedy in remedies)]

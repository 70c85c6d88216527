"""The beginning of a run: what the disk must do for it, and what waits meanwhile.

Invariant: a training never waits for a disk that does nothing. What is logged before the run has begun waits
in memory and is recorded as if the run had begun at once; what memory cannot hold is counted as lost.
"""

import errno
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from rldk._after_fork import disown_in_child
from rldk._log import warn
from rldk.health import Diagnosis, Rule, Settings
from rldk.recording.claim import claim
from rldk.recording.disk import BEGIN_SECONDS, EXIT_SECONDS, Disk, Job
from rldk.recording.exit_hooks import ExitHooks
from rldk.recording.guard import Guard
from rldk.recording.live_doctor import LiveDoctor, as_recorded
from rldk.recording.recent_events import RecentEvents
from rldk.recording.recorder import Recorder
from rldk.recording.redaction import redact_text
from rldk.recording.writer import JsonlWriter
from rldk.schema.event import Event
from rldk.schema.files import RunFiles, remove_leftovers
from rldk.schema.run_info import How, RunEnd

__all__ = ["Beginning", "Plan"]

MAX_WAITING_BYTES = 48_000_000
"""About how much memory the events may take that wait for the beginning; then the oldest are lost."""
_NOT_THERE = (errno.ENAMETOOLONG, errno.ELOOP, errno.EROFS)


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run before its files are."""

    folder: Path
    """Where the files of runs lie, absolute: the training may change its folder."""
    run_id: str | None
    """The name that the user asked for."""
    default: str
    """The name where the user asked for none."""
    trainer_dir: str
    """Where the training saves, absolute: a resume is recognised by it."""
    from_step: int = 0
    """The step that the training resumes from; 0: it is new."""
    spacing: int = 1
    """Steps between two records, at most."""
    about: dict[str, Any]
    """What ran, for `{run_id}_run.json`."""
    settings: Settings
    """What judges it."""
    writing: dict[str, Any] | None
    """Options of the writer; None where the JSONL is off."""
    write_end: Callable[[RunFiles, RunEnd, Diagnosis, Sequence[type[Rule]]], None]
    """Writes the files of the end, by what was found and the rules that judged. It may raise an OSError."""
    print_line: Callable[[str], None]
    """Prints a line for the user."""
    unknown_end: str | None = None
    """What an end means that nobody reported; None: the training ended early."""


class Beginning:
    """A run that begins, as of now.

    Args:
        plan: what is known of it.
        guard: takes what fails inside.
    """

    def __init__(self, plan: Plan, guard: Guard) -> None:
        self.recorder: Recorder | None = None
        """The recorder, once the run has begun."""
        self.is_training = False
        """Whether it is a training that begins, and no evaluation alone."""
        self.has_failed = False
        """Whether the run will never begin."""
        self._plan = plan
        self._guard = guard
        self._began = time.monotonic()
        self._disk = Disk.of(plan.folder, guard.caught)
        self._exits = ExitHooks(
            on_error=lambda _: None,  # the end of the process finds it
            on_signal=self._terminated,
            on_notice=lambda _: None,
        )
        self._job = Job(self._begin)
        self._events = RecentEvents(MAX_WAITING_BYTES)
        self._asked_end: tuple[How, str | None] | None = None  # how the run is to end, once it has begun
        disown_in_child(self)

    def wait(self) -> Recorder | None:
        """The recorder; None where the disk does not answer in time, or refuses.

        Raises:
            Exception: the run cannot begin, for another reason than the disk.
        """
        if (
            not self._disk.run(self._job, BEGIN_SECONDS, insists=True, while_it_works=True)
            or not self.recorder
        ):
            self._disk.at_process_end(self._at_exit)
        return self.recorder

    def begin_training(self) -> None:
        """It is a training that begins, and no evaluation alone: a signal is its end from now on."""
        self.is_training = True
        self._exits.install()

    def keep(self, event: Event) -> None:
        """Keep an event, whose `wall_time` is a moment of `time.monotonic`, until the run has begun."""
        self._events.add(event)

    def hand_over(self, recorder: Recorder) -> bool:
        """Record what waited; whether anything did."""
        count = len(self._events)
        self._exits.uninstall()
        self._disk.not_at_process_end(self._at_exit)
        recorder.events_lost += self._events.dropped
        recorder.events_delayed += count
        while self._events:
            event = self._events.popleft()
            recorder.record(
                replace(
                    event,
                    wall_time=recorder.wall_time_at(event.wall_time or 0.0),
                    model_info=replace(event.model_info, run_id=recorder.files.run_id),
                )
            )
        return count > 0

    def end(self, how: How, detail: str | None) -> None:
        """End the run as soon as it has begun; the end of the process waits for that."""
        self._exits.uninstall()
        self._asked_end = how, detail
        self._disk.run(Job(self._end), wait_s=0)

    def disown(self) -> None:
        """In a forked child: the run is the parent's, and the end of the child does nothing for it."""
        self._disk.not_at_process_end(self._at_exit)

    def _terminated(self, signum: int) -> None:
        """A signal ends the process: give the disk its last chance."""
        self._asked_end = "terminated", signal.Signals(signum).name
        self._at_exit()

    def _begin(self) -> bool:
        if self.recorder is not None:
            return True
        try:
            with suppress(OSError):  # a folder that cannot be made is reported when it is written to
                self._plan.folder.mkdir(parents=True, exist_ok=True)
            _look_into(self._plan.folder)
            self.recorder = self._make(self._plan)
        except OSError as error:
            self._disk.refuse(self._plan.folder, error)
            return False
        except BaseException:
            self.has_failed = True
            self._exits.uninstall()
            raise
        self._disk.accept(self._plan.folder)
        return True

    def _make(self, plan: Plan) -> Recorder:
        """Take a run and its files."""
        claimed = claim(
            plan.folder,
            plan.run_id,
            default=plan.default,
            trainer_dir=redact_text(plan.trainer_dir),  # as the run's file holds it
            from_step=plan.from_step,
            logging_steps=plan.spacing,
        )
        remove_leftovers(claimed.files)
        if claimed.resumed:
            plan.print_line(f"rldk: going on with {claimed.files.run_id} from step {plan.from_step}")
        elif plan.from_step > 0:
            plan.print_line(
                f"rldk: no run in {plan.folder} can be resumed at step {plan.from_step}; "
                f"{claimed.files.run_id} is a new run"
            )
        disk, guard = self._disk, self._guard
        monitor = plan.settings.monitor(as_recorded(plan.about), guard.caught)
        return Recorder(
            claimed,
            from_step=plan.from_step,
            writer=None if plan.writing is None else JsonlWriter(claimed.files, disk=disk, **plan.writing),
            info=plan.about,
            live_doctor=LiveDoctor(claimed.files, monitor, guard, plan.trainer_dir, disk),
            write_end=plan.write_end,
            guard=guard,
            disk=disk,
            began=self._began,
            unknown_end=self._plan.unknown_end,
        )

    def _end(self) -> bool:
        """End the run as it was asked for, unless it has ended."""
        recorder = self.recorder
        if recorder is None:
            return self.has_failed
        self.hand_over(recorder)
        if recorder.ended is None and self._asked_end is not None:
            recorder.training = self.is_training
            recorder.end(*self._asked_end)
        return True

    def _at_exit(self) -> None:
        with suppress(Exception):
            self._disk.run(self._job, EXIT_SECONDS, insists=True, while_it_works=True)
            if self.recorder is None:
                lost = len(self._events) + self._events.dropped
                warn("rldk: %s cannot be used; %d records are lost", self._plan.folder, lost)
                return
            if self._asked_end is not None:
                self._disk.run(Job(self._end), EXIT_SECONDS, insists=True, while_it_works=True)
            else:
                self.hand_over(self.recorder)
                self.recorder.training = self.is_training
            self.recorder.close()


def _look_into(folder: Path) -> None:
    """Find out whether it can be told which runs are there: a name must not be that of another run.

    Raises:
        OSError: the folder is there, and cannot be searched now.
    """
    try:
        with suppress(PermissionError):
            os.listdir(folder)
        os.stat(folder / "any")  # without this right, no file can be opened there
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        if error.errno not in _NOT_THERE:
            raise

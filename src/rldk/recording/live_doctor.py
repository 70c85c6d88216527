"""The LiveDoctor: the doctor at a live run. Events in, alerts out.

Owns `{run_id}_alerts.json`. Invariant: the file is always a whole JSON array; nothing raises; a finding is
alerted once, and once more for each severity that it rises to for the first time; what another alert explains
is not said on top.
"""

import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from rldk._log import warn
from rldk.doctor.good_checkpoint import (
    CheckpointState,
    checkpoint_states,
    state_of,
    with_last_good,
)
from rldk.doctor.judge import diagnosis_with
from rldk.health import (
    Diagnosis,
    Finding,
    Incident,
    Monitor,
    Observation,
    RunContext,
    Severity,
    finding_of,
)
from rldk.recording.disk import WAIT_SECONDS, Disk
from rldk.recording.guard import Guard
from rldk.recording.json_file import JsonFile
from rldk.recording.line_file import LineFile
from rldk.recording.redaction import redact, redact_texts
from rldk.runs import RecordedRun
from rldk.runs.side_files import SideFiles, interleaved, observation
from rldk.schema.alert import Alert
from rldk.schema.checkpoint import Analysis, analysis_of
from rldk.schema.event import Event, escaped
from rldk.schema.files import RunFiles
from rldk.schema.run_info import attempt_of
from rldk.schema.training_start import TrainingStart

__all__ = ["LiveDoctor", "as_recorded", "without_secrets"]


class _PastFinding(msgspec.Struct):
    rule: str
    severity: Literal["info", "warning", "critical"]


class _Past(msgspec.Struct):
    """What counts of an alert of an earlier attempt."""

    finding: _PastFinding


_decode_past = msgspec.json.Decoder(list[_Past]).decode


def as_recorded(attempt_info: Mapping[str, Any]) -> RunContext:
    """The context that `{run_id}_run.json` will tell a later reader, so that live and afterwards agree."""
    attempt_info = without_secrets(attempt_info)
    try:
        attempt_info = msgspec.json.decode(msgspec.json.encode(escaped(attempt_info)))
    except (TypeError, ValueError, RecursionError):  # then there will be no run.json either
        attempt_info = dict(attempt_info)
    return RunContext.of_attempt(attempt_of(attempt_info))


def without_secrets(attempt_info: Mapping[str, Any]) -> dict[str, Any]:
    """What ran, as plain data without secrets; what the user chose of the rules keeps its numbers."""
    judging = {"judging": redact_texts(attempt_info["judging"])} if "judging" in attempt_info else {}
    rest: dict[str, Any] = redact({name: attempt_info[name] for name in attempt_info if name not in judging})
    return rest | judging


class LiveDoctor:
    """Judges one run while it is recorded.

    Args:
        files: the run's files.
        monitor: what judges; it has been told nothing yet.
        guard: counts what fails inside.
        trainer_dir: where the trainer saves its checkpoints.
        disk: the disk of the files; one of its own by default.
    """

    def __init__(
        self,
        files: RunFiles,
        monitor: Monitor,
        guard: Guard,
        trainer_dir: str | None = None,
        disk: Disk | None = None,
    ) -> None:
        self.monitor = monitor
        """What has been seen so far."""
        self._files = files
        self._guard = guard
        self._trainer_dir = trainer_dir
        self._lock = threading.RLock()  # the same thread may come again, in the handler of a signal
        self.attempt = 1
        """Which start of the run this is, counted from 1."""
        self._alerts: list[dict[str, Any]] = []
        self._checkpoints: dict[int, CheckpointState] = {}
        self._reported: dict[str, Severity] = {}
        self._file = JsonFile(files.alerts, disk or Disk(), guard)
        self.is_unsaved = False
        """Whether the disk had not taken the alerts when the run ended."""

    def begin(self) -> None:
        """Judge the configuration of a new run."""
        self._file.save([])
        self._alert(self.monitor.begin())

    def begin_training(self, start: TrainingStart) -> None:
        """Judge what the trainer holds, where a training begins after evaluations in the same run."""
        with self._lock:
            self._alert(self.monitor.begin_training(start))

    def resume(self, events: Iterable[Event]) -> None:
        """Take in what was recorded and alerted before; what was alerted is not alerted again.

        What still holds and was not, as rules were left out then that judge now, is alerted here.
        """
        self._alerts, past = self._load()
        if not self._alerts:
            self._file.save([])
        for alert in past:
            rule, severity = alert.finding.rule, Severity.of(alert.finding.severity)
            self._reported[rule] = max(severity, self._reported.get(rule, severity))
        self.monitor.begin()
        run = RecordedRun(self._files)
        self.attempt = max(len(run.info.attempts), 1)
        self._checkpoints = checkpoint_states(run.analyses())
        for at in interleaved(events, SideFiles(self._files, run.info)):
            self.monitor.observe(at)
        held = [one for one in self.monitor.incidents.values() if one.open]
        self._alert([one for one in held if one.now > self._reported.get(one.rule.name, 0)])

    def _load(self) -> tuple[list[dict[str, Any]], list[_Past]]:
        """The alerts of earlier attempts, whole and what counts of them; another file is put aside."""
        path = self._files.alerts
        try:
            content = path.read_bytes()
            return msgspec.json.decode(content, type=list[dict[str, Any]]), _decode_past(content)
        except FileNotFoundError:
            return [], []
        except (OSError, msgspec.DecodeError) as error:
            with suppress(OSError):
                path.replace(path.with_suffix(".json.damaged"))
            self._guard.caught("reading alerts.json", error)
            return [], []

    def observe(self, event: Event) -> bool:
        """Take the next event; whether there was an alert."""
        if not self.monitor.rules:
            return False
        with self._lock:
            news = self.monitor.feed(event)
            if not news:
                return False
            self._alert(news, wait_s=0)
        self._file.flush()  # without the lock, which the training needs
        return True

    def record(self, line: Any, file: LineFile, *, judging: bool = True) -> None:
        """Take what was measured beside the events, at any time and from any thread, and record it.

        Args:
            line: a mapping or a struct with `kind` and `step`; it is told as a later reader will find it.
            file: where it is recorded, together with what has been seen by now.
            judging: whether it is judged, too. Not where another attempt of the run keeps the alerts by now.
        """
        with self._lock:
            origin = {"attempt": self.attempt, "seen_at_step": self.monitor.last_step or 0}
            known = redact_texts(msgspec.to_builtins(line)) | origin
            plain = msgspec.json.decode(msgspec.json.encode(escaped(known)))
            file.write(plain, wait_s=0)
            at = observation(plain) if judging else None
            if at is not None and at.kind == "checkpoint":
                self._remember(at.step, analysis_of(at.detail))
            if at is not None and self.monitor.rules:
                self._alert(self.monitor.observe(at), wait_s=0)
        file.flush()  # without the lock, which the training needs
        self._file.flush()

    def close(self) -> None:
        """In the disk's thread: have the file there, and then leave it to another attempt."""
        with suppress(OSError):
            if self.is_unsaved or not self._file.is_saved or not self._files.alerts.exists():
                self._file.save(self._alerts)
        self.is_unsaved = not self._file.is_saved
        self._file.give_up()

    def observe_end(self, at: Observation) -> Diagnosis:
        """Take how the run ends: what was found, with that. It is no alert: the recorder says it."""
        with self._lock:
            self.monitor.observe(at)
            return self.diagnosis()

    def judge_end(self, at: Observation) -> Diagnosis:
        """What the end alone shows, where the monitor is held by a thread that does not go on."""
        rules = [type(rule) for rule in self.monitor.rules if "end" in rule.kinds]
        monitor = Monitor(self.monitor.context, rules)
        monitor.observe(at)
        return diagnosis_with(monitor, self._trainer_dir, self._checkpoints)

    def diagnosis(self) -> Diagnosis:
        """What was found so far."""
        with self._lock:
            return diagnosis_with(self.monitor, self._trainer_dir, self._checkpoints)

    def _remember(self, step: int, analysis: Analysis | None) -> None:
        """Keep whether a checkpoint is good."""
        if analysis is not None and (state := state_of(analysis)):
            self._checkpoints[step] = state

    def _alert(self, news: list[Incident], wait_s: float = WAIT_SECONDS) -> None:
        for incident in news:
            finding = with_last_good(finding_of(incident, self.monitor), self._trainer_dir, self._checkpoints)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            alert = Alert(time=now, step=incident.last_step, finding=finding)
            self._alerts.append(redact_texts(escaped(msgspec.to_builtins(alert))))
            self._print(finding, incident)
        if news:
            self._file.save(self._alerts, wait_s)

    def _print(self, finding: Finding, incident: Incident) -> None:
        severity = incident.verdict.severity
        reported = self._reported.get(finding.caused_by or "", Severity.INFO)
        self._reported[finding.rule] = severity
        if severity is Severity.INFO or (finding.caused_by and reported >= severity):
            return
        since = "" if finding.onset_step == incident.last_step else f" (since step {finding.onset_step})"
        remedy = f". Try: {finding.remedies[0]}" if finding.remedies else ""
        checkpoint = finding.last_good_checkpoint
        good = f" (last good checkpoint: {Path(checkpoint).name})" if checkpoint else ""
        warn(
            "rldk: %s at step %d%s: %s: %s%s%s",
            finding.severity.upper(),
            incident.last_step,
            since,
            finding.rule,
            finding.message,
            remedy,
            good,
        )

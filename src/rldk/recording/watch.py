"""The Watch: the doctor at a live run. Events in, alerts out.

Owns `{run_id}_alerts.json`. Invariant: the file is always a whole JSON array; nothing raises; a finding is
said once, and once more for each severity it rises to; what another alert explains is not said on top.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from rldk.event import Event, escaped
from rldk.files import RunFiles, replacing
from rldk.health import Diagnosis, Finding, Incident, Monitor, RunContext, Severity, diagnose, finding_of
from rldk.recording.guard import Guard
from rldk.speech import warn

__all__ = ["Alert", "Watch", "as_recorded"]


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of `{run_id}_alerts.json`."""

    time: str
    """UTC, ISO 8601."""
    step: int
    """The record at which it was noticed."""
    finding: Finding
    """What was found, as `rldk doctor --format json` prints it."""


def as_recorded(about: Mapping[str, Any]) -> RunContext:
    """The context that `{run_id}_run.json` will tell a later reader, so that live and afterwards agree."""
    try:
        about = msgspec.json.decode(msgspec.json.encode(escaped(dict(about))))
    except (TypeError, ValueError, RecursionError):  # then there will be no run.json either
        about = dict(about)
    return RunContext.of_attempt(about)


class Watch:
    """Judges one run while it is recorded.

    Args:
        files: the run's files.
        monitor: what judges; it has been told nothing yet.
        guard: counts what fails inside.
    """

    def __init__(self, files: RunFiles, monitor: Monitor, guard: Guard) -> None:
        self.monitor = monitor
        """What has been seen so far."""
        self._files = files
        self._guard = guard
        self._alerts: list[dict[str, Any]] = []
        self._said: dict[str, Severity] = {}

    def begin(self) -> None:
        """Judge the configuration of a new run."""
        self._alert(self.monitor.begin())

    def resume(self, events: Iterable[Event]) -> None:
        """Take in what was recorded and alerted before; nothing of it is said again."""
        for incident in self.monitor.begin():
            self._said[incident.rule.name] = incident.verdict.severity
        for event in events:
            for incident in self.monitor.feed(event):
                self._said[incident.rule.name] = incident.verdict.severity
        try:
            self._alerts = msgspec.json.decode(self._files.alerts.read_bytes(), type=list[dict[str, Any]])
        except (OSError, msgspec.MsgspecError):
            self._alerts = []

    def see(self, event: Event) -> bool:
        """Take the next event; whether there was an alert."""
        if not self.monitor.rules:
            return False
        news = self.monitor.feed(event)
        if news:
            self._alert(news)
        return bool(news)

    def diagnosis(self) -> Diagnosis:
        """What was found so far."""
        return diagnose(self.monitor)

    def _alert(self, news: list[Incident]) -> None:
        for incident in news:
            finding = finding_of(incident, self.monitor)
            now = datetime.now(UTC).isoformat(timespec="seconds")
            alert = Alert(time=now, step=incident.last_step, finding=finding)
            self._alerts.append(escaped(msgspec.to_builtins(alert)))
            self._say(finding, incident)
        if news:
            self._save()

    def _say(self, finding: Finding, incident: Incident) -> None:
        severity = incident.verdict.severity
        told = self._said.get(finding.caused_by or "", Severity.INFO)
        self._said[finding.rule] = severity
        if severity is Severity.INFO or (finding.caused_by and told >= severity):
            return
        since = "" if finding.onset_step == incident.last_step else f" (since step {finding.onset_step})"
        remedy = f". Try: {finding.remedies[0]}" if finding.remedies else ""
        warn(
            "rldk: %s at step %d%s: %s: %s%s",
            finding.severity.upper(),
            incident.last_step,
            since,
            finding.rule,
            finding.message,
            remedy,
        )

    def _save(self) -> None:
        try:
            with replacing(self._files.alerts) as file:
                file.write(msgspec.json.format(msgspec.json.encode(self._alerts), indent=2) + b"\n")
        except OSError as error:
            self._guard.caught("writing alerts.json", error)

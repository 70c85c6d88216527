"""Stopping a run that is lost, on all ranks at the same step.

Invariant: the verdict depends on the options and on the values that TRL has reduced over the ranks alone,
so each rank comes to it by itself at the same step, without a collective; one record is never enough.
"""

from collections.abc import Iterable

from rldk.event import Event
from rldk.health import Incident, Monitor, RunContext, Settings, Severity

__all__ = ["HOLDS", "Stopper"]

HOLDS = 3
"""Train records in a row through which a finding must be critical before it stops a run."""


class Stopper:
    """Decides whether a run is to be stopped; every rank has one of its own.

    Args:
        context: the run, the same on all ranks.
        settings: how it is judged; rules that see what differs from rank to rank are left out.
    """

    def __init__(self, context: RunContext, settings: Settings) -> None:
        whole = settings.monitor(context)
        rules = [type(rule) for rule in whole.rules if rule.may_stop]
        options = {type(rule): rule.options for rule in whole.rules}
        self._monitor = Monitor(whole.context, rules, options)
        self._monitor.begin()
        self._held: dict[str, int] = {}
        self.reason: str | None = None
        """Why the run is to be stopped; None while it is not."""

    def replay(self, events: Iterable[Event]) -> None:
        """Take in what a resumed run logged before; nothing of it stops the run."""
        for event in events:
            self._monitor.feed(event)

    def see(self, event: Event) -> bool:
        """Take the next event; whether the run is to be stopped now."""
        self._monitor.feed(event)
        if event.phase != "train" or self.reason is not None:
            return False
        critical = [incident for incident in self._monitor.incidents.values() if _is_critical(incident)]
        self._held = {one.rule.name: self._held.get(one.rule.name, 0) + 1 for one in critical}
        for incident in critical:
            if self._held[incident.rule.name] >= HOLDS:
                self.reason = f"{incident.rule.name}: {incident.verdict.message}"
                return True
        return False


def _is_critical(incident: Incident) -> bool:
    return incident.open and not incident.absent and incident.verdict.severity is Severity.CRITICAL

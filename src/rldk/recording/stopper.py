"""Whether a run is lost, so that `stop_on` is to stop it.

Invariant: the verdict depends on the options and on those logged values alone that are the same on all ranks;
one record is never enough.
"""

from collections.abc import Iterable
from functools import lru_cache

import msgspec

from rldk.health import Incident, Monitor, Observation, RunContext, Settings, Severity
from rldk.metrics import metric_of
from rldk.schema.event import Event

__all__ = ["HOLDS", "Stopper"]

HOLDS = 3
"""Train records in a row through which a finding must be critical before it stops a run."""
LOCAL_FAMILY = "SYS"
"""Rules about the machine, whose values differ from rank to rank."""
LOCAL = frozenset(
    {"step_time", "step_wall_time", "runtime", "train_runtime", "model_preparation_time", "reward_time_frac"}
)
"""Metrics that each rank measures by itself."""
MEASURED = ("resource/", "reward_functions/", "samples/")
"""What rldk measures in one process begins so."""


class Stopper:
    """Decides whether a run is to be stopped; every rank has one of its own.

    Args:
        context: the run, the same on all ranks.
        settings: how it is judged; rules about the machine are left out.
    """

    def __init__(self, context: RunContext, settings: Settings) -> None:
        whole = settings.monitor(context)
        rules = [type(rule) for rule in whole.rules if rule.family() != LOCAL_FAMILY]
        options = {type(rule): rule.options for rule in whole.rules}
        self._monitor = Monitor(whole.context, rules, options)
        self._monitor.begin()
        self._held: dict[str, int] = {}
        self.reason: str | None = None
        """Why the run is to be stopped; None while it is not."""
        self.worth_saving = True
        """Whether the weights may still be good for something, so that a checkpoint comes first."""

    def replay(self, events: Iterable[Event]) -> None:
        """Take in what a resumed run logged before; nothing of it stops the run."""
        for event in events:
            self._monitor.observe(_reduced(event))

    def observe(self, event: Event) -> bool:
        """Take the next event; whether the run is to be stopped now."""
        self._monitor.observe(_reduced(event))
        if event.phase != "train" or self.reason is not None:
            return False
        failed = self._monitor.failed  # their incidents stay open: nobody judges them any more
        incidents = [one for one in self._monitor.incidents.values() if one.rule not in failed]
        critical = [incident for incident in incidents if _is_critical(incident)]
        self._held = {one.rule.name: self._held.get(one.rule.name, 0) + 1 for one in critical}
        for incident in critical:
            if self._held[incident.rule.name] >= HOLDS:
                self.reason = f"{incident.rule.name}: {incident.verdict.message}"
                self.worth_saving = not incident.rule.forbids_saving
                return True
        return False


def _is_critical(incident: Incident) -> bool:
    return incident.open and not incident.absent and incident.now is Severity.CRITICAL


def _reduced(event: Event) -> Observation:
    """The event without what a rank, or a callback on one rank alone, may have put into it."""
    at = Observation.of(event)
    values = {name: value for name, value in at.values.items() if _is_reduced(name)}
    return msgspec.structs.replace(at, values=values, wall_time=None)


@lru_cache(maxsize=4096)
def _is_reduced(name: str) -> bool:
    plain = name.removeprefix("eval_")
    if plain.startswith(MEASURED):
        return False
    return metric_of(plain) is not None and plain not in LOCAL and not plain.endswith("_per_second")

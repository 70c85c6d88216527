"""Stopping a run that is lost, on all ranks at the same step.

Invariant: the verdict depends on the options and on the values that TRL has reduced over the ranks alone,
so each rank comes to it by itself at the same step, without a collective; one record is never enough.
"""

from collections.abc import Iterable
from functools import lru_cache, partial

import msgspec
from transformers import TrainerControl

from rldk.health import Incident, Monitor, Observation, RunContext, Settings, Severity
from rldk.integrations.trl.rank_store import RankStore
from rldk.integrations.trl.terminal_lines import print_line
from rldk.metrics import metric_of
from rldk.recording.guard import Guard
from rldk.schema.event import Event

__all__ = ["HOLDS", "EarlyStop", "Stopper"]

JUDGES = "judges"
"""The notice of a rank that will stop when the others do."""

HOLDS = 3
"""Train records in a row through which a finding must be critical before it stops a run."""
LOCAL_FAMILY = "SYS"
"""Rules about the machine, whose values differ from rank to rank."""
LOCAL = frozenset({"step_time", "step_wall_time", "runtime", "train_runtime", "model_preparation_time"})
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
        rules = [type(rule) for rule in whole.rules if not rule.code.startswith(LOCAL_FAMILY)]
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
        critical = [incident for incident in self._monitor.incidents.values() if _is_critical(incident)]
        self._held = {one.rule.name: self._held.get(one.rule.name, 0) + 1 for one in critical}
        for incident in critical:
            if self._held[incident.rule.name] >= HOLDS:
                self.reason = f"{incident.rule.name}: {incident.verdict.message}"
                self.worth_saving = not incident.rule.forbids_saving
                return True
        return False


class EarlyStop:
    """Has the trainer stop where the run is lost, and every rank judges it.

    Args:
        stopper: this rank's verdict, told what a resumed run logged before.
        rank_store: the notices of the ranks.
        guard: takes what fails in asking the others.
        speaks: whether this rank says what happens.

    Raises:
        RuntimeError: the others cannot be told.
    """

    def __init__(self, stopper: Stopper, rank_store: RankStore, guard: Guard, *, speaks: bool) -> None:
        self.reason: str | None = None
        """Why the trainer was told to stop; None while it was not."""
        self._stopper = stopper
        self._rank_store = rank_store
        self._guard = guard
        self._speaks = speaks
        self._silent: list[int] | None = None  # ranks that do not judge; None: not known yet
        rank_store.publish(JUDGES, "yes")

    def observe(self, event: Event, control: TrainerControl) -> None:
        """Take the next event, and have the trainer stop at this step if it is to.

        A checkpoint comes first where the weights are worth one.
        """
        if self._silent is None and event.step > 0:  # the first step is behind what all told before it
            self._silent = self._guard.attempt(
                "asking who judges", partial(self._rank_store.missing, JUDGES), None
            )
        if not self._stopper.observe(event):
            return
        if self._silent:
            self._print(f"not stopping, since rank {self._silent[0]} would go on: {self._stopper.reason}")
            return
        self.reason = self._stopper.reason
        control.should_training_stop = True
        if self._stopper.worth_saving:
            control.should_save = True
        checkpoint_note = (
            "after a checkpoint" if self._stopper.worth_saving else "without saving weights that are lost"
        )
        self._print(f"stopping at step {event.step}, {checkpoint_note}: {self.reason}")

    def _print(self, text: str) -> None:
        if self._speaks:
            print_line(f"rldk: {text}")


def _is_critical(incident: Incident) -> bool:
    return incident.open and not incident.absent and incident.now is Severity.CRITICAL


def _reduced(event: Event) -> Observation:
    """The event without what a rank, or a callback on one rank alone, may have put into the logs."""
    at = Observation.of(event)
    values = {name: value for name, value in at.values.items() if _is_reduced(name)}
    return msgspec.structs.replace(at, values=values)


@lru_cache(maxsize=4096)
def _is_reduced(name: str) -> bool:
    plain = name.removeprefix("eval_")
    if plain.startswith(MEASURED):
        return False
    return metric_of(plain) is not None and plain not in LOCAL and not plain.endswith("_per_second")

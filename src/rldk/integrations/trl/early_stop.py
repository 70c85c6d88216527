"""Stopping a run that is lost, on all ranks at the same step.

Invariant: each rank comes to the verdict by itself at the same step, without a collective: it depends on what
TRL has reduced over the ranks alone (`rldk.recording.stopper`).
"""

from functools import partial

from transformers import TrainerControl

from rldk.integrations.trl.rank_store import RankStore
from rldk.recording.guard import Guard
from rldk.recording.stopper import Stopper
from rldk.report.terminal_lines import print_line
from rldk.schema.event import Event

__all__ = ["EarlyStop"]

JUDGES = "judges"
"""The notice of a rank that will stop when the others do."""


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

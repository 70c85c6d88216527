"""The recording of what one callback's trainers do: which session takes it, or that another callback does.

Invariant: nothing of a training gets into the run of another one; a trainer is recorded by one callback.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace
from transformers import TrainerControl, TrainerState, TrainingArguments

from rldk._log import warn
from rldk.integrations.trl import running_trainings, trainer_info
from rldk.integrations.trl.early_stop import EarlyStop
from rldk.integrations.trl.event_builder import EventBuilder
from rldk.integrations.trl.rank_store import RankStore
from rldk.integrations.trl.trainer_session import (
    EndFiles,
    early_stop_of,
    plan_of,
    start_of,
    training_facts,
)
from rldk.recording.guard import Guard
from rldk.recording.options import RecordingOptions, is_set
from rldk.recording.session import Session
from rldk.report.terminal_lines import show_warnings
from rldk.schema.files import RunFiles
from rldk.schema.run_info import How
from rldk.schema.training_start import TrainingStart

__all__ = ["TrainerRecording"]


class TrainerRecording:
    """Begins and ends the sessions of one callback, which may serve several trainings one after the other.

    Args:
        options: what the user asked for.
        guard: takes what fails inside.

    Raises:
        TypeError, ValueError: a rule or one of its options does not exist.
    """

    def __init__(self, options: RecordingOptions, guard: Guard) -> None:
        self.session: Session | None = None
        """Records the run that goes on, or was last; None before there is one."""
        self.early_stop: EarlyStop | None = None
        """Judges for `stop_on`; None where nothing is to be stopped."""
        self.files: RunFiles | None = None
        """The files of the run; None before its disk lets it begin."""
        self.events = EventBuilder(guard)
        """Builds the Events."""
        self.state: TrainerState | None = None
        """The state of the trainer whose run the session records."""
        self.just_begun: TrainerState | None = None
        """The state of a training that has begun, until its first hook after that."""
        self._options, self._guard, self._settings = options, guard, options.settings()
        self._control: TrainerControl | None = None  # of that trainer, which also has it in its next training
        self._state_of_another: TrainerState | None = None  # of the training that another callback records
        self._warned: set[str] = set()

    def begin_training(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, hooked: dict[str, Any]
    ) -> None:
        """A training begins: a new run, one that it resumes, or the one of the evaluations before it.

        Args:
            args: the trainer's arguments.
            state: its state.
            control: its control.
            hooked: what it hands to every hook.
        """
        session, disabled = self.session, is_set("RLDK_DISABLED")
        is_new = session is None or session.is_training or session.has_failed or state.global_step > 0
        if is_new or disabled or not self._is_of(state, control):
            self._abandon()
        if disabled:
            return
        if not running_trainings.begin_training(self, self._abandon, state):
            self._leave_to_another(state)
            return
        self.state, self._control = state, control
        store, model = RankStore(args.process_index, args.world_size), hooked.get("model")
        self._read_keys(args)
        if self._options.stop_on is not None:
            history = self.events.history
            make = partial(early_stop_of, self._settings, store, self._guard, args, state, model, history)
            self.early_stop = self._guard.attempt("judging for stop_on", make, None)
        is_first = state.is_world_process_zero  # the only rank that records it
        start = start_of(args, state, hooked, self._guard) if is_first else TrainingStart()
        session = self.session or self._begin(args, state, hooked, start)
        self._describe(session, args, state, control, hooked)
        session.begin_training(training_facts(args, state, hooked, self._guard, start), store)
        self.just_begun = state

    def begin_evaluation(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[Any, Any] | None,
        hooked: dict[str, Any],
    ) -> Session | None:
        """The session for a log outside its training, as of an evaluation; None where this one records none.

        Args:
            args: the trainer's arguments.
            state: its state.
            control: its control.
            logs: what it logged.
            hooked: what it hands to every hook.
        """
        if logs is None or not state.is_world_process_zero or is_set("RLDK_DISABLED"):
            return None
        recorder = running_trainings.recorder_of(self, state, logs)
        if recorder == id(self):
            self.warn_of_copies(state)
            return None
        if self._state_of_another is state or recorder is not None:
            self._leave_to_another(state)
            return None
        if self.session is not None and not self._is_of(state, control):
            if running_trainings.is_training(self):
                self._warn_once("rldk: this RLDKCallback records another trainer; give each trainer its own")
                return None
            self._abandon()
        if self.session is None:
            self.state, self._control = state, control
            session = self._begin(args, state, hooked, TrainingStart())
            self._describe(session, args, state, control, hooked)
        return self.session

    def end_training(self, state: TrainerState) -> None:
        """The training ended by itself, or as it was told to."""
        running_trainings.end_training(self)
        if self.session is not None:
            reason = self.early_stop.reason if self.early_stop else None
            done = reason is None and state.global_step >= state.max_steps
            how: How = "completed" if done else "stopped"
            self.session.end(how, reason and f"by rldk: {reason}")

    def _abandon(self) -> None:
        """Let go of what was recorded before, and end it where it ended without a word."""
        running_trainings.end_training(self)
        session, self.session, self.early_stop = self.session, None, None
        if session is not None:
            session.abandon()

    def _begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        hooked: dict[str, Any],
        start: TrainingStart,
    ) -> Session:
        """A session that has begun. Should it raise, it is not tried again before the next training."""
        self._read_keys(args)
        plan = None
        if state.is_world_process_zero:
            show_warnings()
            writes = self._options.enable_jsonl_logging and not is_set("RLDK_DISABLE_JSONL")
            history, model = None if writes else self.events.history, hooked.get("model")
            plan = plan_of(self._options, self._settings, self._guard, args, state, model, history, start)
        self.session = session = Session(self._options, self._guard, plan, self._begun)
        session.begin()
        return session

    def _begun(self, files: RunFiles) -> None:
        self.files = files
        self.events.rename(files.run_id)

    def _describe(
        self,
        session: Session,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        hooked: dict[str, Any],
    ) -> None:
        """Find out what all events of the run have in common."""
        if (plan := session.plan) is not None:
            if isinstance(plan.write_end, EndFiles):
                plan.write_end.state = state
            sha = plan.about.get("git", {}).get("sha")
            self.events.describe(args, state, control, hooked, run_id=session.run_id, git_sha=sha)

    def _read_keys(self, args: TrainingArguments) -> None:
        """Read the keys of this trainer, also the one that the user calls the truth."""
        canonical = self.events.canonical = trainer_info.dialect().reader(trainer_info.algorithm(args))
        truth = self._options.truth_metric
        self._settings = replace(self._settings, truth_metric=truth and canonical(truth))

    def warn_of_copies(self, state: TrainerState) -> None:
        """Say that a trainer has this callback several times."""
        if state.is_world_process_zero:
            self._warn_once("rldk: this trainer has the same RLDKCallback twice; rldk records it once")

    def _leave_to_another(self, state: TrainerState) -> None:
        """Record nothing of a trainer that another callback records."""
        self._state_of_another = state
        if state.is_world_process_zero:
            self._warn_once("rldk: this trainer has an RLDKCallback already; the second one records nothing")

    def _is_of(self, state: TrainerState, control: TrainerControl) -> bool:
        """Whether the session records the run of the trainer that has these."""
        return state is self.state or control is self._control

    def _warn_once(self, line: str) -> None:
        if line not in self._warned:
            self._warned.add(line)
            warn(line)

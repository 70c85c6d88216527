"""Building the Events of a training from what its trainer logs.

Invariant: every Event of the callback is made here, and its log is measured once. Seeds, sizes and model are
asked of the trainer once a training, and what cannot be known is None.
"""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from msgspec.structs import replace
from transformers import TrainerControl, TrainerState, TrainingArguments

from rldk.integrations.trl import trainer_info
from rldk.integrations.trl.tokens import TokenCounter
from rldk.metrics.dialects import phase_of
from rldk.metrics.values import joined, measure
from rldk.recording.guard import Guard
from rldk.recording.session import Session
from rldk.schema.event import PHASES, DataSlice, Event, ModelInfo, Phase, Rng

__all__ = ["EventBuilder"]


class EventBuilder:
    """Builds Events, and knows what those of a training have in common.

    Args:
        guard: takes what cannot be found out.
    """

    def __init__(self, guard: Guard) -> None:
        self.canonical = trainer_info.dialect().reader("trainer")
        """Gives the canonical name of a key that the trainer logs."""
        self.rng = Rng()
        """The seeds."""
        self.info = {phase: ModelInfo(phase=phase) for phase in PHASES}
        """The run and its model, by phase."""
        self.micro_batches = 0
        """Micro-batches so far."""
        self._guard = guard
        self._slice = {phase: DataSlice() for phase in PHASES}
        self._tokens: TokenCounter | None = None
        self._control: TrainerControl | None = None

    def describe(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        hooked: dict[str, Any],
        *,
        run_id: str,
        git_sha: str | None,
    ) -> None:
        """Find out about a training that begins.

        Args:
            args: the trainer's arguments.
            state: its state.
            control: its control, which is one of its own.
            hooked: what it hands to every hook.
            run_id: the name of the run.
            git_sha: the commit of the user's code; None where there is none.
        """
        model, optimizer = hooked.get("model"), hooked.get("optimizer")
        attempt = self._guard.attempt
        info = attempt(
            "the model's description",
            lambda: trainer_info.model_info(args, model, optimizer, run_id=run_id, git_sha=git_sha),
            ModelInfo(run_id=run_id, git_sha=git_sha),
        )
        length = attempt("the sequence length", lambda: trainer_info.sequence_length(args, model), None)
        self.rng = attempt("the seeds", lambda: trainer_info.rng(args), Rng())
        if self._tokens is not None and control is self._control:  # each trainer has one of its own
            self._tokens.train_again(state.num_input_tokens_seen)
        else:
            self._tokens, self.micro_batches = TokenCounter(args, state.num_input_tokens_seen), 0
        self._control = control
        for phase in PHASES:
            size = attempt("the batch size", partial(trainer_info.batch_size, args, phase), None)
            self.info[phase] = replace(info, phase=phase)
            self._slice[phase] = DataSlice(batch_size=size, sequence_length=length)

    def rename(self, run_id: str) -> None:
        """The run has another name than it was thought to have."""
        self.info = {phase: replace(info, run_id=run_id) for phase, info in self.info.items()}

    def build(self, state: TrainerState, logs: Mapping[Any, Any], session: Session) -> Event:
        """The Event of what a trainer logged, and of what the session measured beside it.

        Args:
            state: the trainer's state.
            logs: what it logged; they are only read.
            session: records the Event.
        """
        phase, step = phase_of(logs), state.global_step
        measured = session.metrics(phase, step)
        metrics, notes = measure(logs, self.canonical)
        if measured:
            metrics = joined(metrics, measured)
        return Event(
            step=step,
            wall_time=session.wall_time,
            metrics=metrics,
            rng=self.rng,
            data_slice=self._data_slice(phase, logs),
            model_info=self.info[phase],
            notes=tuple(notes),
        )

    def history(self, state: TrainerState) -> Iterator[Event]:
        """The Events of what `state.log_history` holds, without times and tokens, which it does not tell."""
        for entry in state.log_history:
            logs = {key: entry[key] for key in entry if key != "step"}
            phase = phase_of(logs)
            metrics, notes = measure(logs, self.canonical)
            yield Event(
                step=entry["step"],
                wall_time=None,
                metrics=metrics,
                rng=self.rng,
                data_slice=self._slice[phase],
                model_info=self.info[phase],
                notes=tuple(notes),
            )

    def _data_slice(self, phase: Phase, logs: Mapping[Any, Any]) -> DataSlice:
        """The batch of a record, with the tokens since the record before."""
        data = self._slice[phase]
        if phase == "eval" or self._tokens is None:
            return data
        tokens_in, tokens_out = self._tokens.window(logs, self.micro_batches)
        if phase == "summary":  # it averages what came after the last train record, if anything
            return data
        return DataSlice(
            tokens_in=tokens_in,
            tokens_out=tokens_out,
            batch_size=data.batch_size,
            sequence_length=data.sequence_length,
        )

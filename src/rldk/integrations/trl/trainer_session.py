"""What a session is told of a trainer: the run that is to begin, the training, and what judges for `stop_on`.

Invariant: what cannot be found out of a trainer costs that fact and not the recording.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from msgspec import to_builtins
from transformers import TrainerState, TrainingArguments

from rldk.health import Diagnosis, Rule, Settings
from rldk.integrations.trl import trainer_info
from rldk.integrations.trl.early_stop import EarlyStop
from rldk.integrations.trl.rank_store import RankStore
from rldk.integrations.trl.rewards import ends_of
from rldk.integrations.trl.training_start import training_start
from rldk.recording.beginning import Plan
from rldk.recording.completion_stats import Ends
from rldk.recording.environment import environment
from rldk.recording.guard import Guard
from rldk.recording.live_doctor import as_recorded
from rldk.recording.options import RecordingOptions
from rldk.recording.session import TrainingFacts
from rldk.recording.stopper import Stopper
from rldk.report.final_report import write_end
from rldk.report.terminal_lines import print_line
from rldk.runs import RecordedRun
from rldk.schema.event import Event
from rldk.schema.files import RunFiles
from rldk.schema.run_info import RunEnd
from rldk.schema.training_start import TrainingStart

__all__ = ["EndFiles", "early_stop_of", "plan_of", "start_of", "training_facts"]

History = Callable[[TrainerState], Iterator[Event]]


class EndFiles:
    """Writes the files of the end of one run, also after the callback has gone on to another.

    Args:
        state: the trainer's state.
        history: gives the events that are in a state, where no events file holds them.
    """

    def __init__(self, state: TrainerState, history: History | None) -> None:
        self.state = state
        """The state of the newest training of the run."""
        self._history = history

    def __call__(
        self, files: RunFiles, end: RunEnd, diagnosis: Diagnosis, rules: Sequence[type[Rule]]
    ) -> None:
        """Write them.

        Raises:
            OSError: the disk refuses.
        """
        events = RecordedRun(files) if self._history is None else list(self._history(self.state))
        write_end(files, events, end, diagnosis, rules)


def plan_of(
    options: RecordingOptions,
    settings: Settings,
    guard: Guard,
    args: TrainingArguments,
    state: TrainerState,
    model: Any,
    history: History | None,
    start: TrainingStart,
) -> Plan:
    """The run that a trainer begins.

    Args:
        options: what the user asked for.
        settings: how the run is judged.
        guard: takes what cannot be found out.
        args: the trainer's arguments.
        state: its state.
        model: its model.
        history: gives the events that are in a state; None: they are written as they come.
        start: what the trainer holds; nothing is known where an evaluation begins the run.
    """
    nothing: dict[str, Any] = {}
    info = guard.attempt("the configuration", lambda: trainer_info.configuration(args, model), nothing)
    info = info | guard.attempt("the environment", environment, nothing)
    trainer_dir = trainer_info.trainer_dir(args)
    judging = settings.to_record()
    return Plan(
        folder=Path(options.output_dir).absolute(),
        run_id=options.run_id,
        default=trainer_info.run_name(args),
        trainer_dir=trainer_dir,
        from_step=state.global_step,
        spacing=trainer_info.record_spacing(args, state),
        about=info
        | {
            "start": to_builtins(start),
            "judging": judging,
            "trainer_dir": os.path.realpath(trainer_dir),
        },
        settings=settings,
        writing=options.writing() if history is None else None,
        write_end=EndFiles(state, history),
        print_line=print_line,
    )


def training_facts(
    args: TrainingArguments,
    state: TrainerState,
    hooked: Mapping[str, Any],
    guard: Guard,
    start: TrainingStart,
) -> TrainingFacts:
    """What a session is told of a training that begins.

    Args:
        args: the trainer's arguments.
        state: its state.
        hooked: what it hands to every hook.
        guard: takes what cannot be found out.
        start: what the trainer holds.
    """
    return TrainingFacts(
        trainer_dir=Path(trainer_info.trainer_dir(args)),
        from_step=int(state.global_step),
        rewards_key=state,
        reward_weights=getattr(args, "reward_weights", None),
        ends=_ends(args, hooked, guard),
        base_model=guard.attempt(
            "the base model's folder", lambda: trainer_info.base_model(hooked.get("model")), None
        ),
        start=start,
    )


def start_of(
    args: TrainingArguments, state: TrainerState, hooked: Mapping[str, Any], guard: Guard
) -> TrainingStart:
    """What a trainer holds whose training begins; `hooked` is what the trainer hands to every hook."""
    look = partial(training_start, args, state, hooked, _ends(args, hooked, guard), guard)
    return guard.attempt("what the trainer holds", look, TrainingStart())


def _ends(args: TrainingArguments, hooked: Mapping[str, Any], guard: Guard) -> Ends:
    model, tokenizer = hooked.get("model"), hooked.get("processing_class")
    counted = trainer_info.counts_every_end()
    find = partial(ends_of, args, model, tokenizer, all_counted=counted)
    return guard.attempt("the end tokens", find, Ends())


def early_stop_of(
    settings: Settings,
    store: RankStore,
    guard: Guard,
    args: TrainingArguments,
    state: TrainerState,
    model: Any,
    history: History,
) -> EarlyStop:
    """What judges for `stop_on` on this rank, told what the training logged before it was resumed."""
    info = trainer_info.configuration(args, model)
    stopper = Stopper(as_recorded(info), settings)
    stopper.replay(history(state))
    if state.is_world_process_zero and info["algorithm"] == "ppo":
        print_line("rldk: the PPO trainer of this TRL pays no heed to stop_on")
    return EarlyStop(stopper, store, guard, speaks=bool(state.is_world_process_zero))

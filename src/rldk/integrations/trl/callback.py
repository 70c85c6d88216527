"""`RLDKCallback`, the one line that a user adds to a trainer.

Invariant: no hook raises, changes a number, a random state or the `logs` dict, waits for a device or for
another rank; the control is changed for `stop_on` alone; only world rank 0 records the log.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import asdict, replace
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rldk.health import Rule
from rldk.integrations.trl import trainer_info
from rldk.integrations.trl.beginning import Beginning, EndFiles, Plan
from rldk.integrations.trl.early_stop import EarlyStop, Stopper
from rldk.integrations.trl.event_builder import EventBuilder
from rldk.integrations.trl.process_recorder import ProcessRecorder
from rldk.integrations.trl.rank_store import RankStore
from rldk.integrations.trl.terminal_lines import closing_line, print_line, show_warnings
from rldk.metrics.dialects import phase_of
from rldk.metrics.values import measure
from rldk.recording.disk import BEGIN_SECONDS
from rldk.recording.environment import environment
from rldk.recording.guard import Guard, guarded
from rldk.recording.live_doctor import as_recorded
from rldk.recording.options import RecordingOptions
from rldk.recording.recorder import Recorder
from rldk.recording.stack_location import frames_of_thread, training_frames
from rldk.schema.event import Event, Phase
from rldk.schema.files import RunFiles
from rldk.schema.run_info import How

__all__ = ["RLDKCallback"]

_running: dict[int, tuple["RLDKCallback", tuple[int, int, TrainerState]]] = {}
"""Callbacks whose training has begun and not ended: its thread, how deep in trainers it is, its state."""


class RLDKCallback(TrainerCallback):  # type: ignore[misc]
    """
    Records every step of a TRL or transformers training as a standard JSONL Event, at once and for good.

    Works in every TRL trainer of TRL 0.23 or newer and in a plain [`~transformers.Trainer`]. It judges
    what it records: what goes wrong is said in one line while it goes wrong, and stands in
    `{run_id}_alerts.json`. It never changes the training, and stops it only where `stop_on` asks for it;
    what fails inside is said once, and the training goes on.

    Args:
        output_dir (`str` or `Path`, *optional*, defaults to `"./rldk_logs"`):
            Folder of the files, made if need be.
        run_id (`str`, *optional*):
            Name of the run, and prefix of its files. Defaults to `args.run_name`, else the last part of
            `args.output_dir`. A new training whose name is taken records as `run_id-2`; one that resumes
            from a checkpoint goes on in the files of its run.
        enable_jsonl_logging (`bool`, *optional*, defaults to `True`):
            Write `{run_id}_events.jsonl`. Without it the other files are made from `state.log_history`.
        enable_resource_monitoring (`bool`, *optional*, defaults to `True`):
            Measure CPU, memory, disk and GPUs every two seconds, in the background. The newest values join
            each Event as `resource/...`; all are in `{run_id}_resources.rank0.jsonl`, one file a rank.
        enable_checkpoint_analysis (`bool`, *optional*, defaults to `True`):
            Read each checkpoint after it was saved, in the background: whether it is whole, finite, and what
            changed since the last one (`{run_id}_checkpoints.jsonl`).
        samples_per_step (`int`, *optional*, defaults to `4`):
            Completions to keep of each step, chosen to be useful (`{run_id}_samples.jsonl`), where the reward
            functions are wrapped: `reward_funcs=observe_rewards([...])`. 0 keeps none.
        alert_thresholds (`dict`, *optional*):
            Options of rules, by rule: `{"entropy-collapse": {"share": 0.4}}`. `rldk rules NAME` lists them.
        select (`list[str]`, *optional*):
            Rules to judge by: names (`"non-finite"`), codes (`"OPT001"`) or families (`"OPT"`). All by
            default.
        ignore (`list[str]`, *optional*):
            Rules to leave out, named the same way.
        rules (`list[type[Rule]]`, *optional*):
            Rules of your own, which judge beside those of rldk and of installed packages: see
            `docs/own_rules.md`.
        truth_metric (`str`, *optional*):
            The metric that the reward is a proxy of, by the trainer's key or its canonical name, such as
            `"rewards/accuracy/mean"` or `"eval_reward"`: `proxy-divergence` watches it.
        stop_on (`"critical"`, *optional*):
            Stop the training where a finding stays critical for three records in a row: after a
            checkpoint, except where the weights are not finite. All ranks stop at the same step; the
            argument and `RLDK_DISABLED` must be the same on all of them. Nothing is stopped by default.
        rotate_mb (`float`, *optional*):
            Begin a new part of the events file when it would outgrow so many MB. Off by default.
        compress (`bool`, *optional*, defaults to `False`):
            Gzip the finished parts, in the background.
        flush_interval (`float`, *optional*, defaults to `0.0`):
            Seconds that events may wait in memory to be written together, for loops of more than a
            thousand steps a second. 0 writes each at once, so that a kill loses none.

    Raises:
        ImportError: TRL is installed and older than 0.23.
        TypeError, ValueError: an argument is of the wrong type, or out of range.

    Environment:
        - **RLDK_DISABLED** (`1`): switch everything off, whatever the arguments say.
        - **RLDK_DISABLE_JSONL** (`1`): as `enable_jsonl_logging=False`, whatever the argument says.

    Example:

    ```python
    from rldk.integrations.trl import RLDKCallback

    trainer = GRPOTrainer(..., callbacks=[RLDKCallback(run_id="my_training_run")])
    trainer.train()
    ```
    """

    def __init__(
        self,
        output_dir: str | Path = "./rldk_logs",
        run_id: str | None = None,
        enable_jsonl_logging: bool = True,
        *,
        enable_resource_monitoring: bool = True,
        enable_checkpoint_analysis: bool = True,
        samples_per_step: int = 4,
        alert_thresholds: Mapping[str, Mapping[str, Any]] | None = None,
        select: Sequence[str] | None = None,
        ignore: Sequence[str] | None = None,
        rules: Sequence[type[Rule]] | None = None,
        truth_metric: str | None = None,
        stop_on: Literal["critical"] | None = None,
        rotate_mb: float | None = None,
        compress: bool = False,
        flush_interval: float = 0.0,
    ) -> None:
        trainer_info.check_trl()
        self._options = options = RecordingOptions(
            output_dir=output_dir,
            run_id=run_id,
            enable_jsonl_logging=enable_jsonl_logging,
            enable_resource_monitoring=enable_resource_monitoring,
            enable_checkpoint_analysis=enable_checkpoint_analysis,
            samples_per_step=samples_per_step,
            alert_thresholds=alert_thresholds,
            select=select,
            ignore=ignore,
            rules=rules,
            truth_metric=truth_metric,
            stop_on=stop_on,
            rotate_mb=rotate_mb,
            compress=compress,
            flush_interval=flush_interval,
        )
        self._settings = options.settings()
        self.output_dir = Path(output_dir)
        self.run_id = run_id
        self.guard = Guard()
        self._process: ProcessRecorder | None = None
        self._early_stop: EarlyStop | None = None
        self.files: RunFiles | None = None
        """The files of the run that is being recorded, or was last; None before it starts."""
        self._recorder: Recorder | None = None
        self._store: RankStore | None = None
        self._beginning: Beginning | None = None  # of a run that its disk holds up
        self._failed = False
        self._jsonl = enable_jsonl_logging
        self._git_sha: str | None = None
        self._end_files: EndFiles | None = None
        self._events = EventBuilder(self.guard)

    def __reduce__(self) -> tuple[Callable[[], "RLDKCallback"], tuple[()]]:
        """A copy is a fresh callback with the same arguments: a run is recorded by one object only."""
        again = partial(type(self), **asdict(self._options))
        return again, ()

    @guarded
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin a run, or go on with the one that the checkpoint belongs to."""
        disabled = _is_set("RLDK_DISABLED")
        before = self._take_over(args, state, kwargs)
        pending = self._beginning
        evaluated_only = (before is not None and not before.training) or (
            pending is not None and not pending.is_training
        )
        if disabled or not evaluated_only or state.global_step > 0:
            self._abandon()  # nothing of this training may get into the run before
        if disabled:
            return
        self._end_abandoned(state)
        self._read_keys(args)
        store = self._store = RankStore(args.process_index, args.world_size)
        if self._options.stop_on is not None:
            make = partial(self._new_early_stop, store, args, state, kwargs)
            self._early_stop = self.guard.attempt("judging for stop_on", make, None)
        if _records(state):
            recorder = self._recorder
            if recorder is None and self._beginning is None:
                recorder = self._begin(args, state, kwargs)
            self._describe(args, state, control, kwargs)
            if self._beginning is not None:
                self._beginning.begin_training()
            if recorder is not None:
                recorder.begin_training()
        self._record_process(store, args, state, kwargs)

    @guarded
    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Note the time."""
        if self._beginning is not None:
            self._take_over(args, state, kwargs)
        if self._process is not None:
            self._process.begin_step()

    @guarded
    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count a micro-batch."""
        self._events.micro_batches += 1
        if self._process is not None:
            self._process.beat()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Count the last micro-batch of a step, and take what its reward functions did."""
        try:  # what @guarded does, as in on_log
            self._events.micro_batches += 1
            if self._process is not None:
                self._process.end_step(state.global_step)
        except Exception as error:
            self.guard.caught("on_step_end", error)

    @guarded
    def on_prediction_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """A batch of an evaluation is done: the training lives."""
        if self._process is not None:
            self._process.beat()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[Any, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record what the trainer logged, and stop it if it is to be."""
        if logs is None:
            return
        try:  # what @guarded does, without its price at each step
            self._record(args, state, control, logs, kwargs)
        except Exception as error:
            self.guard.caught("on_log", error)
        if self._early_stop is not None:
            try:
                self._early_stop.observe(self._events.plain_event(state.global_step, logs), control)
            except Exception as error:
                self.guard.caught("judging for stop_on", error)

    @guarded
    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """With a checkpoint, have the events on the medium too, and look at what was saved."""
        if self._recorder is not None:
            self._recorder.sync()
        if self._process is not None:
            self._process.checkpoint_saved(state.global_step)

    @guarded
    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the run and write its tables and its report."""
        _running.pop(id(self), None)
        self._take_over(args, state, kwargs)
        if self._process is not None:
            self._process.close()
            self._process = None
        reason = self._early_stop.reason if self._early_stop else None
        how: How = "completed" if reason is None and state.global_step >= state.max_steps else "stopped"
        detail = reason and f"by rldk: {reason}"
        recorder, ending = self._recorder, None
        if recorder is not None:
            ending = recorder.end(how, detail)
        elif self._beginning is not None:
            self._beginning.end(how, detail)
        if recorder is not None and ending is not None:
            print_line(closing_line(recorder, ending, self.output_dir))
        elif self._beginning is not None or (recorder is not None and recorder.is_ending):
            print_line(
                f"rldk: {self.output_dir} does not answer; rldk writes what is missing there when it does"
            )
        self._beginning = None

    def _end_abandoned(self, state: TrainerState) -> None:
        """End what another callback records of a training of this thread that an exception ended.

        It was caught, and this trainer trains where that one did: it will not go on.
        """
        here, depth = threading.get_ident(), training_frames(frames_of_thread(sys._getframe()))  # noqa: SLF001
        if not depth:
            return
        for other, (thread, others, known) in list(_running.values()):
            if thread == here and others >= depth and known is not state and other is not self:
                other._abandon()  # noqa: SLF001 - of our own class
        _running[id(self)] = self, (here, depth, state)

    def _abandon(self) -> None:
        """Let go of what was recorded before, and end it where it ended without a word."""
        _running.pop(id(self), None)
        process, self._process = self._process, None
        recorder, self._recorder = self._recorder, None
        beginning, self._beginning = self._beginning, None
        self._early_stop = None
        if process is not None:
            self.guard.attempt("ending what watched the training before", process.abandon, None)
        if recorder is not None:
            close = partial(recorder.close, BEGIN_SECONDS)
            self.guard.attempt("ending the run before", close, None)
        if beginning is not None:
            beginning.end("unknown" if beginning.is_training else "completed", None)

    def _record(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[Any, Any],
        kwargs: dict[str, Any],
    ) -> None:
        phase = phase_of(logs)
        # Asked on every rank: what an evaluation's reward functions took is no part of the next step.
        measured = self._process_metrics(phase, state.global_step)
        recorder = self._recorder
        if recorder is None:  # an evaluation before a training, or without one, or the disk held it up
            if self._beginning is not None:
                recorder = self._take_over(args, state, kwargs)
            elif self._failed or not _records(state):
                return
            else:
                recorder = self._begin(args, state, kwargs)
                self._describe(args, state, control, kwargs)
        events = self._events
        metrics, notes = measure(logs, events.canonical)
        logged = len(metrics)
        metrics.update(measured)
        if len(metrics) < logged + len(measured):  # the trainer logged one of these names: its value counts
            metrics.update(measure(logs, events.canonical)[0])
        event = Event(
            step=state.global_step,
            wall_time=time.monotonic() if recorder is None else recorder.wall_time,
            metrics=metrics,
            rng=events.rng,
            data_slice=events.data_slice(phase, logs),
            model_info=events.info[phase],
            notes=tuple(notes),
        )
        if recorder is None:
            if self._beginning is not None:
                self._beginning.keep(event)
            return
        recorder.record(event)
        if not recorder.training:  # of an evaluation alone, no lock, file or thread stays
            recorder.end("completed")

    def _process_metrics(self, phase: Phase, step: int) -> Mapping[str, float]:
        if self._process is None:
            return {}
        try:
            return self._process.metrics(phase, step)
        except Exception as error:  # the record is worth more
            self.guard.caught("measuring beside the log", error)
            return {}

    def _record_process(
        self, store: RankStore, args: TrainingArguments, state: TrainerState, kwargs: dict[str, Any]
    ) -> None:
        """Watch what is no log: on rank 0 for the run, on the others for what they alone can measure."""
        recorder = self._recorder
        if (store.rank == 0 and recorder is None) or (store.rank > 0 and not store.is_available):
            return  # the run's name is not known here, or never will be
        self._process = ProcessRecorder(
            self._options,
            store,
            self.output_dir.absolute(),
            recorder if store.rank == 0 else None,
            self.guard,
            args=args,
            state=state,
            hooked=kwargs,
        )

    def _begin(self, args: TrainingArguments, state: TrainerState, kwargs: dict[str, Any]) -> Recorder | None:
        """Begin a run; None where its disk does not answer yet. Should it raise, it is not tried again."""
        show_warnings()
        self._read_keys(args)
        self._failed = True
        model, nothing = kwargs.get("model"), dict[str, Any]()
        info = self.guard.attempt(
            "the configuration", lambda: trainer_info.configuration(args, model), nothing
        ) | self.guard.attempt("the environment", environment, nothing)
        trainer_dir, judging = trainer_info.trainer_dir(args), self._settings.to_record()
        info |= {"judging": judging, "trainer_dir": os.path.realpath(trainer_dir)}
        self._jsonl = self._options.enable_jsonl_logging and not _is_set("RLDK_DISABLE_JSONL")
        self._git_sha = info.get("git", {}).get("sha")
        self._end_files = EndFiles(state, None if self._jsonl else self._history)
        plan = Plan(
            folder=self.output_dir.absolute(),
            run_id=self.run_id,
            default=trainer_info.run_name(args),
            trainer_dir=trainer_dir,
            from_step=state.global_step,
            spacing=trainer_info.record_spacing(args, state),
            about=info,
            settings=self._settings,
            writing=self._options.writing() if self._jsonl else None,
            end_files=self._end_files,
        )
        beginning = Beginning(plan, self.guard)
        beginning.wait()
        self._beginning, self._failed = beginning, False
        return self._take_over(args, state, kwargs)

    def _take_over(self, args: Any, state: TrainerState, kwargs: dict[str, Any]) -> Recorder | None:
        """The recorder, with what waited for it, if the run has begun."""
        beginning = self._beginning
        if beginning is not None and beginning.has_failed:
            self._beginning, self._failed = None, True
        elif beginning is not None and (recorder := beginning.recorder) is not None:
            self._beginning, self._recorder, self.files = None, recorder, recorder.files
            self._events.rename(recorder.files.run_id)
            held_up = beginning.hand_over(recorder)
            if beginning.is_training and self._store is not None:
                recorder.begin_training()
                self._record_process(self._store, args, state, kwargs)
            elif held_up:  # an evaluation alone
                recorder.end("completed")
        return self._recorder

    def _describe(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, kwargs: dict[str, Any]
    ) -> None:
        """Have what the events of the run say again and again."""
        if self._recorder is not None or self._beginning is not None:
            if self._end_files is not None:
                self._end_files.state = state
            name = self.run_id or trainer_info.run_name(args)
            run_id = name if self._recorder is None else self._recorder.files.run_id
            self._events.describe(args, state, control, kwargs, run_id=run_id, git_sha=self._git_sha)

    def _read_keys(self, args: TrainingArguments) -> None:
        """Read the keys of this trainer, also the one that the user calls the truth."""
        canonical = self._events.canonical = trainer_info.dialect().reader(trainer_info.algorithm(args))
        truth = self._options.truth_metric
        self._settings = replace(self._settings, truth_metric=truth and canonical(truth))

    def _new_early_stop(
        self, store: RankStore, args: TrainingArguments, state: TrainerState, kwargs: dict[str, Any]
    ) -> EarlyStop:
        """The judge of this rank, told what the training logged before it was resumed."""
        info = trainer_info.configuration(args, kwargs.get("model"))
        stopper = Stopper(as_recorded(info), self._settings)
        stopper.replay(self._history(state))
        if state.is_world_process_zero and info["algorithm"] == "ppo":
            print_line("rldk: the PPO trainer of this TRL pays no heed to stop_on")
        return EarlyStop(stopper, store, self.guard, speaks=bool(state.is_world_process_zero))

    def _history(self, state: TrainerState) -> Iterator[Event]:
        """What `state.log_history` tells of the run."""
        for entry in state.log_history:
            yield self._events.plain_event(entry["step"], {key: entry[key] for key in entry if key != "step"})


def _records(state: TrainerState) -> bool:
    """Whether this process records: world rank 0, unless everything is switched off."""
    return bool(state.is_world_process_zero) and not _is_set("RLDK_DISABLED")


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").strip().lower() in ("1", "true", "yes", "on")

"""`RLDKCallback`, the one line that a user adds to a trainer.

Invariant: no hook raises, changes a number, a random state or the `logs` dict, waits for a device or for
another rank; the control is changed for `stop_on` alone; only world rank 0 records the log.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import asdict
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from rldk.health import Rule
from rldk.integrations.trl import trainer_info
from rldk.integrations.trl.repeated_hooks import call_each_once, call_every_time
from rldk.integrations.trl.trainer_recording import TrainerRecording
from rldk.recording.guard import Guard, guarded
from rldk.recording.options import RecordingOptions
from rldk.schema.files import RunFiles

__all__ = ["RLDKCallback"]


class RLDKCallback(TrainerCallback):  # type: ignore[misc]
    """
    Records every step of a TRL or transformers training as a standard JSONL Event, at once and for good.

    Works in every TRL trainer of TRL 0.23 or newer and in a plain [`~transformers.Trainer`]. It judges
    what it records: what goes wrong is said in one line while it goes wrong, and stands in
    `{run_id}_alerts.json`. It never changes the training, and stops it only where `stop_on` asks for it;
    what fails inside is said once, and the training goes on.
    A second one of the same trainer says so and records nothing. Give each trainer one of its own: where
    one serves several trainers, it records them one after the other, each in a run of its own.

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
            Your own rules, in addition to those of rldk and of installed packages: see
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
        self._options = RecordingOptions(
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
        self.output_dir = Path(output_dir)
        self.run_id = run_id
        self.guard = Guard()
        self._recording = TrainerRecording(self._options, self.guard)
        self._copies = 1  # that the trainer has of this callback

    def __reduce__(self) -> tuple[Callable[[], "RLDKCallback"], tuple[()]]:
        """A copy is a fresh callback with the same arguments: a run is recorded by one object only."""
        return partial(type(self), **asdict(self._options)), ()

    @property
    def files(self) -> RunFiles | None:
        """The files of the run that is being recorded, or was last; None before it starts."""
        return self._recording.files

    @guarded
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin a run, or resume the one that the checkpoint belongs to."""
        if self._recording.just_begun is state:
            self._copies += 1
            call_each_once(self, self._copies)
            self._recording.warn_of_copies(state)
            return
        self._copies = 1
        call_every_time(self)
        self._recording.begin_training(args, state, control, kwargs)

    @guarded
    def on_step_begin(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Note the time."""
        self._recording.just_begun = None
        if (session := self._recording.session) is not None:
            session.begin_step()

    @guarded
    def on_substep_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Count a micro-batch."""
        self._recording.events.micro_batches += 1
        if (session := self._recording.session) is not None:
            session.beat()

    def on_step_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """Count the last micro-batch of a step, and take what its reward functions did."""
        try:  # what @guarded does, without its price at each step
            self._recording.events.micro_batches += 1
            self._recording.just_begun = None  # PPO knows no begin of a step
            if (session := self._recording.session) is not None:
                session.end_step(state.global_step)
        except Exception as error:
            self.guard.caught("on_step_end", error)

    @guarded
    def on_prediction_step(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """A batch of an evaluation is done: the training lives."""
        if (session := self._recording.session) is not None:
            session.beat()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[Any, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Record what the trainer logged, and stop it if it is to be."""
        recording, event = self._recording, None
        try:  # as in on_step_end
            session = recording.session
            if session is None or not session.is_training or recording.state is not state:
                session = recording.begin_evaluation(args, state, control, logs, kwargs)
            if session is None or logs is None:
                return
            event = recording.events.build(state, logs, session)
            session.log(event)
        except Exception as error:
            self.guard.caught("on_log", error)
        if event is not None and recording.early_stop is not None:
            judge = partial(recording.early_stop.observe, event, control)
            self.guard.attempt("judging for stop_on", judge, None)

    @guarded
    def on_save(self, args: TrainingArguments, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """With a checkpoint, have the events on the medium too, and look at what was saved."""
        if (session := self._recording.session) is not None:
            session.checkpoint_saved(trainer_info.checkpoint_folder(args, state), state.global_step)

    @guarded
    def on_train_end(self, args: Any, state: TrainerState, control: Any, **kwargs: Any) -> None:
        """End the run and write its tables and its report."""
        self._recording.end_training(state)

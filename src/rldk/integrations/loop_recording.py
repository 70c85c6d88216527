"""The recording of a loop of your own, which `rldk.record` makes.

Invariant: no method of the recording raises, changes a number or a random state, or waits for a device; when
`log` returns, the record is with the operating system, or in memory where a disk does not answer.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from rldk._after_fork import disown_in_child
from rldk._log import warn
from rldk.health import Settings
from rldk.integrations.loop_facts import (
    Loop,
    description,
    options_of,
    seeds,
    trainer_dir_of,
)
from rldk.integrations.loop_log import LogParts, accelerator_of, whole
from rldk.integrations.loop_session import history_of, plan_of, training_facts
from rldk.integrations.open_loops import begin_loop, end_loop
from rldk.metrics.dialects.generic import dialect_of
from rldk.metrics.values import joined, measure
from rldk.recording.guard import Guard
from rldk.recording.live_doctor import as_recorded
from rldk.recording.options import RecordingOptions, is_set
from rldk.recording.rank_notices import SingleProcess
from rldk.recording.recent_events import RecentEvents
from rldk.recording.redaction import redact
from rldk.recording.session import Session
from rldk.recording.stopper import Stopper
from rldk.report.terminal_lines import print_line, show_warnings
from rldk.schema.event import PHASES, DataSlice, Event, ModelInfo, Phase, Rng
from rldk.schema.files import RunFiles

__all__ = ["LoopRecording"]

LOCK_SECONDS = 1.0
"""How long a log waits for that of another thread; then that one records both."""
_NOTHING: Mapping[str, float] = {}
_SLICE = DataSlice()


class LoopRecording:
    """The recording of one loop; `rldk.record` makes it. Every method may be called from any thread.

    Args:
        options: what to record.
        loop: what the loop says of itself.

    Raises:
        TypeError, ValueError: there is no such rule, or an option of one is wrong.
    """

    def __init__(self, options: RecordingOptions, loop: Loop) -> None:
        self.guard = Guard()
        """Counts what failed inside."""
        self.step = loop.from_step
        """The last train step that was logged."""
        self.files: RunFiles | None = None
        """The files of the run; None where this process records none, and before its disk lets it begin."""
        dialect = dialect_of(loop.dialect, loop.algorithm)
        self._parts = LogParts(dialect)
        self._canonical = dialect.reader()
        truth = options.truth_metric
        settings = msgspec.structs.replace(options.settings(), truth_metric=truth and self._canonical(truth))
        self._options = options
        self._session: Session | None = None
        self._stopper: Stopper | None = None
        self._rng = Rng()
        self._info = {phase: ModelInfo(phase=phase) for phase in PHASES}
        self._history: RecentEvents | None = None  # without an events file
        self._functions: dict[str, object] = {}
        self._on_device: set[str] = set()  # what was given to `samples` and not read
        self._lock, self._owner = threading.RLock(), 0
        self._asked_end: Callable[[Session], None] | None = None  # within a log, which is to end the run
        self._waiting: deque[tuple[Mapping[Any, Any], Any]] = deque()
        self._is_over = self._is_child = self._has_warned = False
        if is_set("RLDK_DISABLED"):
            return
        nothing: dict[str, Any] = {}
        given = self.guard.attempt("the configuration", lambda: options_of(loop.config), nothing)
        trainer_dir = trainer_dir_of(given)
        about = description(loop, redact(given))  # a configuration may hold a model: it is not kept
        if options.stop_on is not None:
            make: Callable[[], Stopper | None] = lambda: Stopper(as_recorded(about), settings)  # noqa: E731
            self._stopper = self.guard.attempt("judging for stop_on", make, None)
        if loop.rank == 0:
            self.guard.attempt("recording", lambda: self._begin(loop, about, settings, trainer_dir), None)
        disown_in_child(self)

    def _begin(self, loop: Loop, about: dict[str, Any], settings: Settings, trainer_dir: str) -> None:
        show_warnings()
        self._rng = self.guard.attempt("the seeds", lambda: seeds(loop.seed), Rng())
        self._history = history_of(self._options)
        plan = plan_of(loop, self._options, settings, self.guard, about, trainer_dir, self._history)
        sha = plan.about.get("git", {}).get("sha")
        self._info = {phase: ModelInfo(git_sha=sha, phase=phase) for phase in PHASES}
        abandon = partial(self._end, Session.abandon)
        begin = partial(begin_loop, self, abandon, plan.folder, plan.run_id or "", loop.caller)
        self.guard.attempt("ending the recording before", begin, None)
        session = self._session = Session(self._options, self.guard, plan, self._begun)
        self._begun_as(session.run_id)
        session.begin()
        facts = training_facts(loop, trainer_dir, self)
        session.begin_training(facts, SingleProcess(plan.about["world_size"]))
        session.begin_step()

    def __enter__(self) -> Self:
        end_loop(self)  # the block ends it
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the run, by the exception if there is one, which goes on."""
        leaves = isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and not error.code)
        if error is None:
            self.close()
        elif leaves:
            self._end(lambda session: session.end("stopped", f"by {type(error).__name__}"))
        else:
            self._end(lambda session: session.fail(error))

    def __repr__(self) -> str:
        state = "ended" if self._is_over else f"at step {self.step}"
        return f"<LoopRecording {self._info['train'].run_id or 'that records nothing'}, {state}>"

    @property
    def should_stop(self) -> bool:
        """Whether the loop is lost and should be left, with `stop_on="critical"`; else always False.

        Each process judges what it logs by itself: where there are several, log the same values in all of
        them, as they are after a reduction, and they stop at the same step.
        """
        return self.stop_reason is not None

    @property
    def stop_reason(self) -> str | None:
        """Why the loop should be left; None where it should not."""
        return None if self._stopper is None else self._stopper.reason

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Record what a step logged, and judge it.

        Keys that begin with `eval`, `val`, `valid` or `test` and `_` or `/` are of an evaluation and become a
        record of their own; so does all of a log with such keys and no known train metric.

        Numbers are floats, ints, numpy scalars and tensors of one element on the CPU. A tensor on an
        accelerator is not read, since that would make the loop wait for the device: log `float(value)` where
        you can wait.

        Args:
            metrics: numbers by name.
            step: optimizer steps done; by default one more than at the last call, and the same for an
                evaluation.
        """
        if self._is_over:
            self._ignore()
            return
        try:
            me, lock = threading.get_ident(), self._lock
            if self._owner == me:  # the handler of a signal logs, within a log
                self._waiting.append((dict(metrics), step))
                return
            try:
                if lock.acquire(blocking=False) or lock.acquire(timeout=LOCK_SECONDS):
                    self._owner = me
                    if self._is_over:  # another thread closed it meanwhile
                        self._ignore()
                        return
                    self._take(metrics, step)
                    if self._waiting:
                        self._take_waiting()
                else:  # the thread that holds it hangs
                    self._waiting.append((dict(metrics), step))
            finally:
                self._leave()
        except Exception as error:
            self.guard.caught("log", error)
        except BaseException:  # Ctrl-C, maybe before `_leave` was done
            self._leave()
            raise

    def samples(
        self,
        prompts: Iterable[Any] | None,
        completions: Iterable[Any],
        rewards: Sequence[Any] | Mapping[str, Sequence[Any]],
    ) -> None:
        """Keep a few of the completions of the step that is logged next, the best and the worst among them.

        Tensors on an accelerator are not read, since that would make the loop wait for the device: give
        `rewards.tolist()` where you can wait.

        Args:
            prompts: the prompt of each completion: text, or messages.
            completions: the completions: texts, or messages.
            rewards: the reward of each completion; or the rewards of each reward function, by its name.
        """
        try:
            observer = None if self._session is None or self._is_over else self._session.rewards
            if observer is None:
                return
            by_name = rewards if isinstance(rewards, Mapping) else {"reward": rewards}
            for name, given in (("prompts", prompts), ("completions", completions), *by_name.items()):
                if (device := accelerator_of(given)) is not None:
                    self._warn_of_device(name, device)
            prompts = None if accelerator_of(prompts) else prompts
            if accelerator_of(completions):
                return
            inputs = {"completions": [*completions], "prompts": None if prompts is None else [*prompts]}
            for index, (name, values) in enumerate(by_name.items()):
                function = self._functions.setdefault(str(name), object())
                call = observer.begin(function, str(name), index, len(by_name), inputs)
                if call is not None:
                    observer.finish(call, values)
        except Exception as error:
            self.guard.caught("samples", error)

    def saved(self, path: str | os.PathLike[str], step: int | None = None) -> None:
        """Have a checkpoint read in the background that was just saved, and the events made durable.

        Args:
            path: the folder of the checkpoint.
            step: its step; by default the last one that was logged.
        """
        try:
            if self._session is not None and not self._is_over:
                self._session.checkpoint_saved(Path(path), self._step_of(step, counts=False))
        except Exception as error:
            self.guard.caught("saved", error)

    def close(self) -> None:
        """End the run: as completed, or as stopped by rldk where `should_stop` says so."""
        reason = self.stop_reason
        if reason is None:
            self._end(lambda session: session.end("completed"))
        else:
            self._end(lambda session: session.end("stopped", f"by rldk: {reason}"))

    def __reduce__(self) -> tuple[Callable[[], "LoopRecording"], tuple[()]]:
        """A copy, in this process or another one, records nothing: the run is that of the original."""
        return _recording_of_nothing, ()

    def disown(self) -> None:
        """In a forked child: the run is the parent's."""
        self._is_over = self._is_child = True
        end_loop(self)

    def _take(self, logs: Mapping[Any, Any], given: Any) -> None:
        """Record what was logged, an evaluation apart from the rest."""
        if type(logs) is not dict and not isinstance(logs, Mapping):
            raise TypeError(f"log takes a mapping of numbers by name, not {type(logs).__name__}")
        train, evaluation = self._parts.of(logs)
        is_step = type(given) is int and given >= 0
        step = given if is_step else self._step_of(given, counts=train is not None)
        if train is not None:
            session = self._session
            if session is not None:
                if step > self.step:
                    session.end_step(step)
                else:
                    session.beat()
            self.step = step
            self._record("train", step, train)
            if session is not None and self._options.enable_resource_monitoring:  # it takes the step times
                session.begin_step()
        if evaluation is not None:
            self._record("eval", step, evaluation)

    def _record(self, phase: Phase, step: int, logs: Mapping[Any, Any]) -> None:
        session, stopper = self._session, self._stopper
        if session is None and stopper is None:
            return
        measured = _NOTHING if session is None else session.metrics(phase, step)
        metrics, notes = measure(logs, self._parts.name_in_evaluation if phase == "eval" else self._canonical)
        event = Event(
            step=step,
            wall_time=None if session is None else session.wall_time,
            metrics=joined(metrics, measured) if measured else metrics,
            rng=self._rng,
            data_slice=_SLICE,
            model_info=self._info[phase],
            notes=tuple(notes),
        )
        if self._history is not None:
            self._history.add(event)
        if session is not None:
            session.log(event)
        if stopper is not None and stopper.observe(event) and session is not None:
            print_line(f"rldk: run.should_stop is True since step {step}: {stopper.reason}")

    def _step_of(self, given: Any, *, counts: bool) -> int:
        """The step of a log that gives no int; where it gives none, or what is no step, it is counted."""
        step = None if given is None else self.guard.attempt("reading the step", lambda: whole(given), None)
        return step if step is not None else self.step + 1 if counts else self.step

    def _take_waiting(self) -> None:
        while self._waiting:
            logs, step = self._waiting.popleft()
            self.guard.attempt("log", partial(self._take, logs, step), None)

    def _leave(self) -> None:
        """Let others log, wherever in `log` an exception came; end the run if that was asked for within.

        Where Ctrl-C came before the thread knew that it had the lock, it has it several times by now.
        """
        if self._owner == threading.get_ident():
            self._owner = 0
        while self._lock._is_owned():  # type: ignore[attr-defined]  # noqa: SLF001 - as threading.Condition asks
            self._lock.release()
        if self._asked_end is not None and self._lock.acquire(blocking=False):  # else another thread logs
            try:
                end, self._asked_end = self._asked_end, None
                if end is not None:
                    self._finish(end)
            finally:
                self._lock.release()

    def _end(self, end: Callable[[Session], None]) -> None:
        """End the run, once, when the logs that other threads have begun are recorded."""
        if self._is_over:
            return
        if self._owner == threading.get_ident():  # the handler of a signal, within a log, which ends the run
            self._is_over, self._asked_end = True, end
            end_loop(self)
            return
        try:
            self._lock.acquire(timeout=LOCK_SECONDS)  # without it: the thread that holds it hangs
            is_first, self._is_over = not self._is_over, True
        finally:
            self._leave()
        if is_first:
            end_loop(self)
            self._finish(end)

    def _finish(self, end: Callable[[Session], None]) -> None:
        self._take_waiting()
        if (session := self._session) is not None:
            self.guard.attempt("ending the run", lambda: end(session), None)

    def _ignore(self) -> None:
        if not self._has_warned and not self._is_child:
            self._has_warned = True
            warn("rldk: %s has ended; what is logged now is not recorded", self._info["train"].run_id)

    def _warn_of_device(self, name: str, device: str) -> None:
        if name not in self._on_device:
            self._on_device.add(name)
            warn(
                "rldk: run.samples does not read `%s`, which is on %s: give it a list (`.tolist()`)",
                name,
                device,
            )

    def _begun(self, files: RunFiles) -> None:
        self.files = files
        self._begun_as(files.run_id)

    def _begun_as(self, run_id: str) -> None:
        replace = msgspec.structs.replace
        self._info = {phase: replace(info, run_id=run_id) for phase, info in self._info.items()}


def _recording_of_nothing() -> LoopRecording:
    from rldk.integrations.loop import record  # which makes recordings, and so imports this module

    copied = record(world_rank=1)  # rank 0 alone records
    copied.disown()
    return copied

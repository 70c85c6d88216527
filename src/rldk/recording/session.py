"""The Session: the recording of one run in one process, whatever trains.

Owns the run while it begins, its recorder, and what watches the process: watchdog, resources, step times,
rewards, samples, checkpoints. Invariant: what fails in here costs neither the training nor the record of its
log; what waits, waits in the background; the training's thread notes times and hands things over.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from rldk._log import warn
from rldk.recording.beginning import Beginning, Plan
from rldk.recording.checkpoint_log import CheckpointLog
from rldk.recording.closing_line import closing_line
from rldk.recording.completion_stats import Ends
from rldk.recording.crash_recorder import CrashRecorder
from rldk.recording.crash_writer import one_line
from rldk.recording.disk import BEGIN_SECONDS, END_SECONDS, EXIT_SECONDS, Disk
from rldk.recording.exit_hooks import within
from rldk.recording.guard import Guard
from rldk.recording.line_file import LineFile
from rldk.recording.options import RecordingOptions
from rldk.recording.process_log import ProcessLog
from rldk.recording.rank_notices import Notice, RankNotices
from rldk.recording.recorder import Recorder
from rldk.recording.resources import ResourceSample, ResourceSampler, own_gpus
from rldk.recording.reward_observer import RewardObserver
from rldk.recording.watchdog import StallRecord, Watchdog
from rldk.schema.event import Event, Phase
from rldk.schema.files import RunFiles
from rldk.schema.run_info import How
from rldk.schema.training_start import TrainingStart

__all__ = ["Session", "TrainingFacts"]

RUN = "run_id"
"""The notice by which rank 0 tells the run's name."""
WAIT_SECONDS = 30.0
"""How long the end of the process waits for the analysis of the last checkpoint."""
ABANDONED_SECONDS = 5.0
"""The same after an exception, as the process holds the GPU's memory, and before the next training."""
REPORT_SECONDS = 1.0
"""How long the end of the process waits for its last report to be printed."""


class TrainingFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What a session must be told of a training that begins, as only its framework knows it."""

    trainer_dir: Path
    """Where it saves."""
    from_step: int = 0
    """The step that it resumes from."""
    rewards_key: Any
    """The object by which `observer_of` finds the observer of its reward functions."""
    reward_weights: Sequence[float] | None = None
    """The weight of each reward function, in order; None: all alike."""
    rewards_are_timed: bool = True
    """Whether the calls of the reward functions are observed, and not their values alone."""
    function: tuple[str, str] | None = None
    """The qualified name and the file of the function that trains: no stall is reported when it does not run.
    None: the trainer's training loop."""
    ends: Ends = Ends()
    """How a completion can end."""
    base_model: str | None = None
    """The folder that the model was loaded from; None where it is not a local one."""
    start: TrainingStart | None = None
    """What the trainer holds; None where it is not known."""


class _Watchers(NamedTuple):
    """What watches a training."""

    watchdog: Watchdog
    process_log: ProcessLog
    rewards: RewardObserver
    sampler: ResourceSampler | None
    samples: LineFile | None
    checkpoints: CheckpointLog | None
    crash_file: Callable[[], Path | None]


class Session:
    """The recording of one run: of evaluations, of a training, or of a training after evaluations.

    Args:
        options: what to record.
        guard: takes what fails inside.
        plan: the run that is to begin; None on a rank that records no log.
        on_begun: told of the files of the run as soon as they are known.
    """

    def __init__(
        self,
        options: RecordingOptions,
        guard: Guard,
        plan: Plan | None,
        on_begun: Callable[[RunFiles], None] = lambda _: None,
    ) -> None:
        self.recorder: Recorder | None = None
        """Records the log; None on other ranks than 0, and until the disk lets the run begin."""
        self.beginning: Beginning | None = None
        """The run that its disk holds up; None where there is none."""
        self.is_training = False
        """Whether a training is recorded, and not evaluations alone."""
        self.has_failed = False
        """Whether the run could not begin: then nothing is recorded."""
        self.plan = plan
        """The run as it was to begin; None on a rank that records no log."""
        self._options, self._guard, self._on_begun = options, guard, on_begun
        self._folder = Path(options.output_dir).absolute() if plan is None else plan.folder
        self._training: tuple[TrainingFacts, RankNotices] | None = None  # that is not watched yet
        self._watchers: _Watchers | None = None
        self._is_watching = False
        self._ended = False
        self._clock_offset = 0.0  # from `time.monotonic` to the time of the run, once it has begun
        self._from_step = 0
        self._files: RunFiles | None = None
        self._disk = Disk.of(self._folder, guard.caught)
        self._crash_recorder: CrashRecorder | None = None  # of a rank without a recorder

    # The run.

    def begin(self) -> None:
        """Begin the run, or have it begin as soon as its disk lets it.

        Raises:
            Exception: it cannot begin; `has_failed` is True then.
        """
        if self.plan is None:
            return
        self.has_failed = True
        beginning = Beginning(self.plan, self._guard)
        beginning.wait()
        self.beginning, self.has_failed = beginning, False
        self._take_over()

    def begin_training(self, facts: TrainingFacts, notices: RankNotices) -> None:
        """A training begins. To be called from within it: the watchdog watches the thread that calls this.

        Args:
            facts: what is known of it.
            notices: how its ranks learn the run's name.
        """
        self._take_over()
        self.is_training, self._training = True, (facts, notices)
        if self.beginning is not None:
            self.beginning.begin_training()
        if self.recorder is not None:
            self.recorder.begin_training(facts.start)
        self._begin_watching()

    @property
    def wall_time(self) -> float:
        """The time for the next Event: seconds since the run began; until then a moment of the clock."""
        return time.monotonic() + self._clock_offset

    @property
    def run_id(self) -> str:
        """The run's name: that of its files, or until it has begun the one that it was to have.

        Empty on a rank that records no log.
        """
        if self.recorder is not None:
            return self.recorder.files.run_id
        return "" if self.plan is None else self.plan.run_id or self.plan.default

    def log(self, event: Event) -> None:
        """Record an Event and judge it; what comes before the run has begun waits in memory."""
        recorder = self.recorder
        if recorder is not None:
            recorder.record(event)
            if not self.is_training:  # of an evaluation alone, no lock, file or thread stays
                recorder.end("completed")
        elif self.beginning is not None:
            self.beginning.keep(event)
            self._take_over()

    def end(self, how: How, detail: str | None = None) -> None:
        """End the run, write the files of its end, and say in a line what was recorded.

        The analysis of the last checkpoint goes on; the end of the process waits for it.
        """
        self._take_over()
        self._ended = True
        self._stop()
        recorder, folder = self.recorder, Path(self._options.output_dir)
        beginning, self.beginning = self.beginning, None
        ending = None
        if recorder is not None:
            ending = recorder.end(how, detail)
        elif beginning is not None:
            beginning.end(how, detail)
        if self.plan is None:
            return
        if recorder is not None and ending is not None:
            self.plan.print_line(closing_line(recorder, ending, folder))
        elif beginning is not None or (recorder is not None and recorder.is_ending):
            self.plan.print_line(
                f"rldk: {folder} does not answer; rldk writes what is missing there when it does"
            )

    def fail(self, error: BaseException) -> None:
        """End the run by an exception that is being handled."""
        self._take_over()
        if self.beginning is not None:
            how: How = "interrupted" if isinstance(error, KeyboardInterrupt) else "exception"
            text = self._guard.attempt("the exception's text", lambda: f": {error}", "")
            self.beginning.end(how, one_line(f"{type(error).__name__}{text}"))
            self.beginning = None
        self._end_unended()

    def abandon(self) -> None:
        """Let go of what was recorded, and end it where it did not end by itself: another training begins."""
        beginning, self.beginning = self.beginning, None
        if self._is_watching:
            self._guard.attempt("ending what watched the training before", self._abandon_watchers, None)
        if self.recorder is not None:
            close = partial(self.recorder.close, BEGIN_SECONDS)
            self._guard.attempt("ending the run before", close, None)
        if beginning is not None:
            beginning.end("unknown" if beginning.is_training else "completed", None)

    def _take_over(self) -> None:
        """Record what waited, if the run has begun."""
        beginning = self.beginning
        if beginning is None:
            return
        if beginning.has_failed:
            self.beginning, self.has_failed = None, True
        elif (recorder := beginning.recorder) is not None:
            self.beginning, self.recorder = None, recorder
            self._clock_offset = recorder.wall_time_at(0.0)
            self._on_begun(recorder.files)
            held_up = beginning.hand_over(recorder)
            if self.is_training:
                recorder.begin_training(self._training[0].start if self._training else None)
                self._begin_watching()
            elif held_up:  # an evaluation alone
                recorder.end("completed")

    # The training.

    def begin_step(self) -> None:
        """A step begins."""
        if self.beginning is not None:
            self._take_over()
        if not self._is_watching or (watchers := self._watchers) is None:
            return
        watchers.watchdog.beat()
        if self.recorder is None and self._crash_recorder is None:
            self._begin_crash_recorder(watchers)
        if watchers.sampler is not None:
            watchers.process_log.begin_step()

    def beat(self) -> None:
        """The training lives: a micro-batch or a batch of an evaluation is done."""
        if self._is_watching and self._watchers is not None:
            self._watchers.watchdog.beat()

    def end_step(self, step: int) -> None:
        """A step ended; what its reward functions did belongs to it."""
        if not self._is_watching or (watchers := self._watchers) is None:
            return
        watchers.watchdog.beat(step)
        rewards = watchers.rewards
        if rewards.called:
            self._drain(watchers, "train", step)
        watchers.process_log.end_step(step, rewards.step_seconds)

    def metrics(self, phase: Phase, step: int) -> Mapping[str, float]:
        """What was measured beside the log and joins its Event: resources, and what reward functions did.

        To be asked for on every rank: what an evaluation's reward functions did is no part of the next step.
        """
        if not self._is_watching or (watchers := self._watchers) is None:
            return _NOTHING
        measured: Mapping[str, float] = _NOTHING
        try:
            if watchers.sampler is not None:
                measured = watchers.sampler.latest()
                if watchers.checkpoints is not None and watchers.checkpoints.sizes:
                    measured = {**measured, **watchers.checkpoints.sizes}
            if watchers.rewards.called and phase != "summary":
                if phase == "eval":
                    self._drain(watchers, "eval", step)
                measured = {**watchers.rewards.take(phase), **measured}
        except Exception as error:  # the record is worth more
            self._guard.caught("measuring beside the log", error)
            return _NOTHING
        return measured

    def checkpoint_saved(self, path: Path, step: int) -> None:
        """A checkpoint was saved: have the events on the medium too, and look at what was saved."""
        if self.recorder is not None:
            self.recorder.sync()
        if self._is_watching and (watchers := self._watchers) is not None:
            watchers.watchdog.beat()
            if watchers.checkpoints is not None:
                watchers.checkpoints.saved(path, step)

    @property
    def rewards(self) -> RewardObserver | None:
        """Takes the completions of the next step and their rewards; None where nothing is watched."""
        return self._watchers.rewards if self._is_watching and self._watchers is not None else None

    # What watches it.

    def _begin_watching(self) -> None:
        """Watch what is no log: on rank 0 for the run, on the others for what they alone can measure."""
        recorder, guard, options = self.recorder, self._guard, self._options
        if self._training is None:
            return
        facts, notices = self._training
        if (notices.rank == 0 and recorder is None) or (notices.rank > 0 and not notices.is_available):
            return  # the run's name is not known here, or never will be
        self._training, self._from_step = None, facts.from_step
        if recorder is not None:
            self._disk, self._files = recorder.disk, recorder.files
            publish = partial(notices.publish, RUN, recorder.files.run_id)
            guard.attempt("telling the run's name", publish, None)
        notice = Notice(notices, RUN, 0)
        run_files = partial(self._run_files, notice)
        process_log = ProcessLog(notices.rank, run_files, facts.from_step, self._disk)
        sampler = None
        if options.enable_resource_monitoring:
            gpus = own_gpus(notices.world_size)
            sampler = ResourceSampler(facts.trainer_dir, gpus=gpus, on_sample=self._sampled)
        rewards = RewardObserver(
            facts.rewards_key,
            guard,
            ends=facts.ends,
            weights=facts.reward_weights,
            samples=options.samples_per_step if recorder is not None else 0,
            are_timed=facts.rewards_are_timed,
        )
        checkpoints = None
        if options.enable_checkpoint_analysis and recorder is not None:
            checkpoints = CheckpointLog(recorder, facts.base_model, self._release)

        def crash_file() -> Path | None:
            files = run_files(at_once=True)
            return files and files.crash(notices.rank)

        watchdog = Watchdog(
            self._stalled,
            crash_file,
            from_step=facts.from_step,
            on_over=self._end_unended,
            function=facts.function,
            disk=self._disk,
        )
        self._watchers = _Watchers(
            watchdog=watchdog,
            process_log=process_log,
            rewards=rewards,
            sampler=sampler,
            samples=LineFile(recorder.files.samples, self._disk) if recorder is not None else None,
            checkpoints=checkpoints,
            crash_file=crash_file,
        )
        # Last: were something above to raise, or Ctrl-C to come, nobody would beat, and nobody end this.
        self._is_watching = True
        self._disk.at_process_end(self._at_exit)  # an exception ends the process without `end`
        watchdog.start()
        if sampler is not None:
            guard.attempt("measuring the machine", sampler.start, None)

    def _run_files(self, notice: Notice, *, at_once: bool = False) -> RunFiles | None:
        """The files of the run, once rank 0 has told its name; until then it is asked for again."""
        if self._files is None:
            ask = partial(notice.read, at_once=at_once)
            if name := self._guard.attempt("asking for the run's name", ask, None):
                self._files = RunFiles(self._folder, name)
        return self._files

    def _begin_crash_recorder(self, watchers: _Watchers) -> None:
        """On a rank without a recorder: say in its crash file how it died. In a hook, as signals need it."""
        log = watchers.process_log
        if log.file is None or (path := watchers.crash_file()) is None:
            return
        self._crash_recorder = CrashRecorder(
            path,
            self._from_step,
            step=lambda: log.step,
            finish=lambda _: self._finish_lines(log),
            disk=self._disk,
        )
        self._crash_recorder.begin()

    def _drain(self, watchers: _Watchers, phase: Literal["train", "eval"], step: int) -> None:
        kept = watchers.rewards.drain(phase, step)
        if kept and watchers.samples is not None and self.recorder is not None:
            attempt = {"attempt": self.recorder.live_doctor.attempt}
            watchers.samples.write(*(attempt | msgspec.to_builtins(sample) for sample in kept))

    def _sampled(self, sample: ResourceSample) -> None:
        if self._watchers is not None:
            self._watchers.process_log.sampled(sample.time, sample.values)
            self._count_lost()

    def _stalled(self, stall: StallRecord) -> None:
        file = self._watchers and self._watchers.process_log.file
        if file is not None and self.recorder is not None:
            self.recorder.live_doctor.record(stall.line(), file)
        elif file is not None:
            file.write(stall.line())

    def _count_lost(self) -> None:
        """Have the report tell how many lines beside the events the disk refused."""
        watchers = self._watchers
        if self.recorder is None or watchers is None:
            return
        files = [watchers.samples, watchers.checkpoints and watchers.checkpoints.file]
        self.recorder.lines_lost = watchers.process_log.lost + sum(file.lost for file in files if file)

    def _note_caught(self, wait_s: float = EXIT_SECONDS) -> None:
        """Note what ended the training where somebody caught it; first, as all else takes longer."""
        for one in (self.recorder, self._crash_recorder):
            if one is not None:
                note = partial(one.note_caught, wait_s)
                self._guard.attempt("noting how the training ended", note, None)

    def _stop(self) -> None:
        """Watch no more."""
        watchers = self._watchers
        if not self._is_watching or watchers is None:
            return
        self._is_watching = False
        checkpoints = watchers.checkpoints
        parts: list[Callable[[], object]] = [watchers.watchdog.stop]
        if watchers.sampler is not None:
            parts.append(watchers.sampler.stop)
        parts += [watchers.rewards.close, watchers.crash_file, watchers.process_log.close]
        parts += [one.close for one in (watchers.samples, checkpoints and checkpoints.file) if one]
        parts.append(self._count_lost)
        if self._crash_recorder is not None:
            parts.append(self._crash_recorder.end)
        for part in parts:
            self._guard.attempt("ending what watches the training", part, None)
        analysed = checkpoints is None or checkpoints.finish()
        if analysed and (self.recorder is not None or self._disk.settle(END_SECONDS)):
            self._release()

    def _abandon_watchers(self) -> None:
        """Stop watching a training that did not end, before another goes on with what it recorded."""
        self._note_caught(BEGIN_SECONDS)
        self._stop()
        if self._watchers is not None and self._watchers.checkpoints is not None:
            self._watchers.checkpoints.close(ABANDONED_SECONDS)

    def _end_unended(self) -> None:
        """The training ended without a word, by an exception that somebody caught: so does its run."""
        self._note_caught()
        self._stop()
        if self.recorder is not None:
            self.recorder.close()

    def _finish_lines(self, log: ProcessLog) -> None:
        """On a rank without a recorder: have what waits written before the process ends, or report it."""
        log.close()
        file = log.file
        if not self._disk.settle(EXIT_SECONDS) and file is not None and file.waiting:
            text = "rldk: the log disk does not answer; %d lines of %s are not on it"
            # The main thread may hold the lock of the terminal.
            within(REPORT_SECONDS, partial(warn, text, file.waiting, file.path))

    def _release(self) -> None:
        """Nothing is left to be done at the end of the process, which held all this."""
        self._disk.not_at_process_end(self._at_exit)

    def _at_exit(self) -> None:
        watchers = self._watchers
        if watchers is None:
            return
        self._note_caught()
        watchers.watchdog.stop()  # it may be ending the run just now
        if self.recorder is None:
            self._finish_lines(watchers.process_log)
        else:
            watchers.process_log.close()
        ended_well = self._ended and not hasattr(sys, "last_value")
        if watchers.checkpoints is not None:
            watchers.checkpoints.close(WAIT_SECONDS if ended_well else ABANDONED_SECONDS)
        self._count_lost()
        if self.recorder is not None:
            self.recorder.close()  # with what was found just now


_NOTHING: Mapping[str, float] = {}

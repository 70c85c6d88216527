"""The ProcessRecorder: what it watches in one process: machine, steps, rewards, checkpoints.

Every rank has one of its own. Invariant: whatever fails in here, the training and the recording of its log go
on; what waits, waits in the background; the training thread notes times and hands things over.
"""

import os
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import msgspec
from transformers import TrainerState, TrainingArguments

from rldk._log import warn
from rldk.checkpoints.background import Background
from rldk.integrations.trl import trainer_info
from rldk.integrations.trl.rank_store import Notice, RankStore
from rldk.integrations.trl.rewards import ends_of
from rldk.recording.completion_stats import Ends
from rldk.recording.crash_recorder import CrashRecorder
from rldk.recording.disk import BEGIN_SECONDS, END_SECONDS, EXIT_SECONDS, Disk
from rldk.recording.exit_hooks import within
from rldk.recording.guard import Guard
from rldk.recording.host_usage import GIB
from rldk.recording.line_file import LineFile
from rldk.recording.options import RecordingOptions
from rldk.recording.process_log import ProcessLog
from rldk.recording.recorder import Recorder
from rldk.recording.resources import ResourceSample, ResourceSampler
from rldk.recording.reward_observer import RewardObserver
from rldk.recording.watchdog import StallRecord, Watchdog
from rldk.schema.checkpoint import Analysis
from rldk.schema.files import RunFiles

__all__ = ["ProcessRecorder"]

RUN = "run_id"
"""The notice by which rank 0 tells the run's name."""
WAIT_SECONDS = 30.0
"""How long the end of the process waits for the analysis of the last checkpoint."""
ABANDONED_SECONDS = 5.0
"""The same after an exception, as the process holds the GPU's memory, and before the next training."""
REPORT_SECONDS = 1.0
"""How long the end of the process waits for its last report to be printed."""


class ProcessRecorder:
    """Begins to watch when it is made, until `close`.

    Args:
        options: what to watch.
        rank_store: the notices of the ranks.
        folder: the callback's `output_dir`, absolute.
        recorder: records the run, on rank 0; None on the others, which ask for the run's name.
        guard: takes what fails inside.
        args: the trainer's arguments.
        state: the trainer's state, which its reward functions are handed, too.
        hooked: what the trainer hands to every hook.
    """

    def __init__(
        self,
        options: RecordingOptions,
        rank_store: RankStore,
        folder: Path,
        recorder: Recorder | None,
        guard: Guard,
        *,
        args: TrainingArguments,
        state: TrainerState,
        hooked: dict[str, Any],
    ) -> None:
        self._rank_store, self._folder, self._recorder, self._guard = rank_store, folder, recorder, guard
        self._trainer_dir = Path(trainer_info.trainer_dir(args))
        self._is_trial = bool(state.is_hyper_param_search)
        self._trial_name: str | None = state.trial_name if self._is_trial else None
        self._disk = Disk.of(folder, guard.caught) if recorder is None else recorder.disk
        self._files: RunFiles | None = None
        self._sizes: dict[str, float] = {}
        if recorder is not None:
            self._files = recorder.files
            guard.attempt(
                "telling the run's name", lambda: rank_store.publish(RUN, recorder.files.run_id), None
            )
        self._from_step = int(state.global_step)
        self._name = Notice(rank_store, RUN, 0)
        self._ended = False
        self._process_log = ProcessLog(rank_store.rank, self._run_files, self._from_step, self._disk)
        self._crash_recorder: CrashRecorder | None = None
        self._watchdog = Watchdog(
            self._stalled, self._dump, from_step=self._from_step, on_over=self._over, disk=self._disk
        )
        self._sampler: ResourceSampler | None = None
        if options.enable_resource_monitoring:
            gpus = _own_gpus(rank_store.world_size)
            self._sampler = ResourceSampler(self._trainer_dir, gpus=gpus, on_sample=self._sampled)
        model, tokenizer = hooked.get("model"), hooked.get("processing_class")
        all_counted = trainer_info.counts_every_end()
        self._rewards = RewardObserver(
            state,
            guard,
            ends=guard.attempt(
                "the end tokens", lambda: ends_of(args, model, tokenizer, all_counted=all_counted), Ends()
            ),
            weights=getattr(args, "reward_weights", None),
            samples=options.samples_per_step if recorder is not None else 0,
        )
        self._samples = LineFile(recorder.files.samples, self._disk) if recorder is not None else None
        self._background: Background | None = None
        self._checkpoint_lines: LineFile | None = None
        if options.enable_checkpoint_analysis and recorder is not None:
            base = guard.attempt("the base model's folder", lambda: trainer_info.base_model(model), None)
            self._background = Background(self._analysed, base, self._release)
            self._checkpoint_lines = LineFile(recorder.files.checkpoints, self._disk)
        # Last: were something above to raise, or Ctrl-C to come, nobody would beat, and nobody end this.
        self._disk.at_process_end(self._at_exit)  # an exception ends the process without `close`
        self._watchdog.start()
        if self._sampler is not None:
            guard.attempt("measuring the machine", self._sampler.start, None)

    def begin_step(self) -> None:
        """A step begins."""
        self._watchdog.beat()
        if (
            self._recorder is None
            and self._crash_recorder is None
            and (files := self._run_files()) is not None
        ):
            self._begin_crash_recorder(files)
        if self._sampler is not None:
            self._process_log.begin_step()

    def beat(self) -> None:
        """The training lives: a micro-batch or a batch of an evaluation is done."""
        self._watchdog.beat()

    def end_step(self, step: int) -> None:
        """A step ended; what its reward functions did belongs to it."""
        self._watchdog.beat(step)
        rewards = self._rewards
        if rewards.called:
            self._drain("train", step)
        self._process_log.end_step(step, rewards.step_seconds)

    def metrics(self, phase: Literal["train", "eval", "summary"], step: int) -> Mapping[str, float]:
        """What joins the record of a phase: the latest resources, and what reward functions did since."""
        measured: Mapping[str, float] = {}
        if self._sampler is not None:
            measured = self._sampler.latest()
            if self._sizes:
                measured = {**measured, **self._sizes}
        if self._rewards.called and phase != "summary":
            if phase == "eval":
                self._drain("eval", step)
            measured = {**self._rewards.take(phase), **measured}
        return measured

    def checkpoint_saved(self, step: int) -> None:
        """A checkpoint was saved."""
        self._watchdog.beat()
        if self._background is not None:
            self._background.submit(self._checkpoint(step), step)

    def _checkpoint(self, step: int) -> Path:
        """Where the trainer saved just now: a trial of a hyperparameter search has a folder of its own."""
        folder, name = self._trainer_dir, f"checkpoint-{step}"
        if self._trial_name is not None:
            return folder / self._trial_name / name
        trials = folder.glob(f"run-*/{name}") if self._is_trial else ()
        return max(trials, key=os.path.getmtime, default=folder / name)

    def close(self) -> None:
        """The training has ended by itself: stop watching.

        The analysis of the last checkpoint goes on; the end of the process waits for it.
        """
        self._ended = True
        self._stop()

    def abandon(self) -> None:
        """Stop watching a training that did not end, before another goes on with what it recorded."""
        self._note_caught(BEGIN_SECONDS)
        self._stop()
        if self._background is not None and (late := self._background.close(ABANDONED_SECONDS)):
            warn("rldk: %s", late)

    def _stop(self) -> None:
        parts: list[Callable[[], object]] = [self._watchdog.stop, self._stop_sampler, self._rewards.close]
        parts += [lambda: self._run_files(at_once=True), self._process_log.close]
        parts += [file.close for file in (self._samples, self._checkpoint_lines) if file is not None]
        parts.append(self._count_lost)
        if self._crash_recorder is not None:
            parts.append(self._crash_recorder.end)
        for part in parts:
            self._guard.attempt("ending what watches the training", part, None)
        analysed = self._background is None or self._background.finish()
        if analysed and (self._recorder is not None or self._disk.settle(END_SECONDS)):
            self._release()

    def _note_caught(self, wait_s: float = EXIT_SECONDS) -> None:
        """Note what ended the training where somebody caught it; first, as all else takes longer."""
        for one in (self._recorder, self._crash_recorder):
            if one is not None:
                note = partial(one.note_caught, wait_s)
                self._guard.attempt("noting how the training ended", note, None)

    def _drain(self, phase: Literal["train", "eval"], step: int) -> None:
        kept = self._rewards.drain(phase, step)
        if self._samples is not None and self._recorder is not None:
            attempt = {"attempt": self._recorder.live_doctor.attempt}
            if kept:
                self._samples.write(*(attempt | msgspec.to_builtins(sample) for sample in kept))

    def _run_files(self, *, at_once: bool = False) -> RunFiles | None:
        """The files of the run, once rank 0 has told its name; until then it is asked for again."""
        if self._files is None:
            ask: Callable[[], str | None] = lambda: self._name.read(at_once=at_once)  # noqa: E731
            if name := self._guard.attempt("asking for the run's name", ask, None):
                self._files = RunFiles(self._folder, name)
        return self._files

    def _begin_crash_recorder(self, files: RunFiles) -> None:
        """On a rank without a recorder: say in its crash file how it died. In a hook, as signals need it."""
        self._crash_recorder = CrashRecorder(
            files.crash(self._rank_store.rank),
            self._from_step,
            step=lambda: self._process_log.step,
            finish=lambda _: self._finish_lines(),
            disk=self._disk,
        )
        self._crash_recorder.begin()

    def _dump(self) -> Path | None:
        files = self._run_files(at_once=True)
        return files and files.crash(self._rank_store.rank)

    def _sampled(self, sample: ResourceSample) -> None:
        self._process_log.sampled(sample.time, sample.values)
        self._count_lost()

    def _over(self) -> None:
        """The training ended without a word, by an exception that somebody caught: so does its run."""
        self._note_caught()
        self._stop()
        if self._recorder is not None:
            self._recorder.close()

    def _stalled(self, stall: StallRecord) -> None:
        file = self._process_log.file
        if file is not None and self._recorder is not None:
            self._recorder.live_doctor.record(stall.line(), file)
        elif file is not None:
            file.write(stall.line())

    def _analysed(self, analysis: Analysis) -> None:
        recorder, lines = self._recorder, self._checkpoint_lines
        assert recorder is not None
        assert lines is not None
        if analysis.bytes_on_disk:
            self._sizes = {"resource/checkpoint_size": analysis.bytes_on_disk / GIB}
        line = {"kind": "checkpoint", "step": analysis.step, "analysis": analysis.detail()}
        ours = not recorder.goes_on_elsewhere
        recorder.live_doctor.record(line, lines, judging=ours)
        lines.close()  # saves are rare
        if ours:
            recorder.outdate()

    def _count_lost(self) -> None:
        if self._recorder is not None:
            files = [file for file in (self._samples, self._checkpoint_lines) if file is not None]
            self._recorder.lines_lost = self._process_log.lost + sum(file.lost for file in files)

    def _release(self) -> None:
        """Nothing is left to be done at the end of the process, which held all this."""
        self._disk.not_at_process_end(self._at_exit)

    def _at_exit(self) -> None:
        self._note_caught()
        self._watchdog.stop()  # it may be ending the run just now
        if self._recorder is None:
            self._finish_lines()
        else:
            self._process_log.close()
        ended_well = self._ended and not hasattr(sys, "last_value")
        seconds = WAIT_SECONDS if ended_well else ABANDONED_SECONDS
        if self._background is not None and (late := self._background.close(seconds)):
            warn("rldk: %s", late)
        self._count_lost()
        if self._recorder is not None:
            self._recorder.close()  # with what was found just now

    def _finish_lines(self) -> None:
        """On a rank without a recorder: have what waits written before the process ends, or report it."""
        self._process_log.close()
        file = self._process_log.file
        if not self._disk.settle(EXIT_SECONDS) and file is not None and file.waiting:
            text = "rldk: the log disk does not answer; %d lines of %s are not on it"
            # The main thread may hold the lock of the terminal.
            within(REPORT_SECONDS, partial(warn, text, file.waiting, file.path))

    def _stop_sampler(self) -> None:
        if self._sampler is not None:
            self._sampler.stop()


def _own_gpus(world_size: int) -> list[int] | None:
    """The GPU of this rank, where there are several ranks; None: all that the process may use."""
    local, visible = os.environ.get("LOCAL_RANK", ""), os.environ.get("CUDA_VISIBLE_DEVICES")
    if world_size == 1 or not local.isdecimal():
        return None
    if visible is not None and len(visible.split(",")) <= int(local):
        return None  # the launcher lets each rank see its own alone
    return [int(local)]

"""The doctor's way to a run: its events through a Monitor.

Invariant: what is judged is what `Run` yields, by the settings that the run was recorded with unless others
are given, so that a run is judged afterwards as it was while it was live.
"""

from pathlib import Path

import msgspec

from rldk.doctor.good_checkpoint import CheckpointState, checkpoint_states, with_checkpoints
from rldk.doctor.sample_evidence import with_samples
from rldk.health import Diagnosis, Monitor, RunContext, Settings, diagnose
from rldk.runs.foreign_run import ForeignRun
from rldk.runs.rank_steps import steps_of_ranks
from rldk.runs.run import Run
from rldk.runs.run_end import end_of
from rldk.runs.side_files import SideFiles, interleaved
from rldk.schema.run_info import RunInfo

__all__ = [
    "checkpoint_states_of",
    "checkpoints_of",
    "compare_ranks",
    "context_of",
    "diagnosis_of",
    "judge",
    "monitor_of",
    "settings_of",
    "side_files",
]


def context_of(run: Run, *, algorithm: str | None = None) -> RunContext:
    """What is known of the run besides its records: by `{run_id}_run.json`, else by the log's keys.

    Args:
        run: the run.
        algorithm: what the user says that it was, where the log does not tell.
    """
    attempt = run.info.newest
    if attempt.recorded:
        context = RunContext.of_attempt(attempt)
    else:
        context = RunContext(algorithm=run.algorithm, dialect=run.dialect)
    return msgspec.structs.replace(context, algorithm=algorithm) if algorithm else context


def settings_of(run: Run) -> Settings:
    """How the run was judged while it was live; the defaults where that is not known, or not valid now."""
    kept: dict[str, object] = {}
    for name, value in run.info.newest.judging.items():  # one that is not known must not cost the others
        try:
            msgspec.convert(kept | {name: value}, Settings).check()
        except (msgspec.ValidationError, TypeError, ValueError):
            continue
        kept[name] = value
    return msgspec.convert(kept, Settings)


def monitor_of(
    run: Run,
    settings: Settings | None = None,
    *,
    algorithm: str | None = None,
) -> Monitor:
    """A Monitor that has been told the whole run.

    Args:
        run: what to read; its `bad_lines` grow meanwhile.
        settings: how to judge; `settings_of(run)` by default.
        algorithm: as in `context_of`.
    """
    monitor = (settings or settings_of(run)).monitor(context_of(run, algorithm=algorithm))
    monitor.begin()
    for at, _ in interleaved(run, side_files(run)):
        monitor.observe(at)
    compare_ranks(run, monitor)
    return monitor


def compare_ranks(run: Run, monitor: Monitor) -> None:
    """Tell a monitor that was told the whole run how the steps of its ranks compare, and how it ended."""
    if not isinstance(run, ForeignRun):
        for at in steps_of_ranks(run.files):
            monitor.observe(at)
        if run.state != "running" and run.info != RunInfo():
            monitor.observe(end_of(run, run.info.end, monitor.last_step or 0))


def side_files(run: Run) -> SideFiles | None:
    """What was recorded of a run beside its events; None of a run that is not rldk's."""
    return None if isinstance(run, ForeignRun) else SideFiles(run.files, run.info)


def judge(run: Run, settings: Settings | None = None, *, algorithm: str | None = None) -> Diagnosis:
    """The diagnosis of a run; the arguments are those of `monitor_of`."""
    return diagnosis_of(run, monitor_of(run, settings, algorithm=algorithm))


def diagnosis_of(run: Run, monitor: Monitor) -> Diagnosis:
    """What a monitor that was told the whole run has found, with what its files show besides."""
    return with_samples(
        with_checkpoints(diagnose(monitor), checkpoints_of(run), checkpoint_states_of(run)), run.samples
    )


def checkpoint_states_of(run: Run) -> dict[int, CheckpointState]:
    """What is known of the checkpoints of a run, by step."""
    return {} if isinstance(run, ForeignRun) else checkpoint_states(run.files)


def checkpoints_of(run: Run) -> Path | None:
    """Where the trainer saved its checkpoints, as far as the run tells."""
    if isinstance(run, ForeignRun):
        log_folder = run.path if run.path.is_dir() else run.path.parent
        return log_folder.parent if log_folder.name.startswith("checkpoint-") else log_folder
    folder = run.info.trainer_dir
    return None if folder is None else Path(folder)

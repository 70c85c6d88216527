"""The doctor's way to a run: its observations through a Monitor, then the evidence.

Invariant: what is judged is what `Run.observations` yields, by the settings that the run was recorded with
where the caller does not override them, so that a run is judged afterwards as it was while it was live.
"""

from collections.abc import Callable, Iterable, Mapping
from os import PathLike
from pathlib import Path

import msgspec

from rldk.doctor.good_checkpoint import CheckpointState, checkpoint_states, with_checkpoints
from rldk.doctor.sample_evidence import with_samples
from rldk.errors import RLDKError
from rldk.health import Diagnosis, Monitor, Rule, Settings, diagnose
from rldk.runs.opener import open_run
from rldk.runs.recorded_run import RecordedRun
from rldk.runs.run import Run
from rldk.runs.samples import Samples

__all__ = ["diagnosis_of", "diagnosis_with", "judge", "monitor_of", "require_events"]


def judge(
    path_or_run: str | Path | Run,
    *,
    settings: Settings | None = None,
    rules: Iterable[type[Rule]] | None = None,
    algorithm: str | None = None,
) -> Diagnosis:
    """Judge a run: what is wrong with it, since which step, why, and what to change.

    Args:
        path_or_run: any path that `open_run` takes, or a Run.
        settings: what is to be judged in another way than the run was while it was live.
        rules: your own rules, which judge beside the installed ones. They join those of `settings`, whose
            `select`, where it is given, must name them.
        algorithm: the training algorithm (`grpo`, `dpo`), where the log does not tell it.

    Raises:
        TypeError: `path_or_run` is neither a path nor a Run, or one of the rules is not a Rule.
        ValueError: `settings` names a rule or an option that does not exist, or a rule clashes with another.
        RLDKError: as `open_run` does; or the run was recorded without its events.
        OSError: the path cannot be read.

    Example:
        >>> diagnosis = judge("trainer_state.json", settings=Settings(ignore=("SYS",)))
        >>> diagnosis.status
        'insufficient-data'
        >>> [finding.rule for finding in diagnosis.findings]
        []
    """
    if not isinstance(path_or_run, str | PathLike | Run):
        raise TypeError(f"judge takes a path or a Run, not {type(path_or_run).__name__}")
    run = path_or_run if isinstance(path_or_run, Run) else open_run(path_or_run)
    require_events(run)
    settings = settings or Settings()
    if rules is not None:
        settings = msgspec.structs.replace(settings, rules=(*settings.rules, *rules))
    return diagnosis_of(run, monitor_of(run, settings, algorithm=algorithm))


def require_events(run: Run) -> None:
    """Refuse a run that recorded its report alone: there is nothing to judge it by.

    Raises:
        RLDKError: it was recorded without its events; the message says where its verdict is.
    """
    if not isinstance(run, RecordedRun) or run.parts or not run.files.final_report.exists():
        return
    if run.info.end is not None and run.info.end.records:
        raise RLDKError(
            f"{run.path} was recorded without its events (enable_jsonl_logging=False, or "
            f"RLDK_DISABLE_JSONL): its verdict is in {run.files.final_report}"
        )


def monitor_of(run: Run, settings: Settings | None = None, *, algorithm: str | None = None) -> Monitor:
    """A Monitor that has observed the whole run.

    Args:
        run: what to read; its `bad_lines` grow meanwhile.
        settings: what overrides `run.settings()`.
        algorithm: what the user says that it was, where the log does not say it.
    """
    given = settings or Settings()
    settings = run.settings(given.rules).overridden_by(given)
    monitor = settings.monitor(run.context(algorithm=algorithm))
    monitor.begin()
    for at in run.observations():
        monitor.observe(at)
    return monitor


def diagnosis_of(run: Run, monitor: Monitor) -> Diagnosis:
    """What a monitor that has observed the whole run found, with what the run's files show besides."""
    return diagnosis_with(monitor, run.checkpoint_folder, checkpoint_states(run.analyses()), run.samples)


def diagnosis_with(
    monitor: Monitor,
    checkpoint_folder: str | Path | None,
    states: Mapping[int, CheckpointState],
    samples: Callable[[], Samples] | None = None,
) -> Diagnosis:
    """What a monitor has found so far, with the last good checkpoints and the samples that show it.

    Args:
        monitor: what judged the run.
        checkpoint_folder: where the trainer saves its checkpoints; None where that is not known.
        states: what is known of the checkpoints, by step.
        samples: gives those of the run; None: none are to be looked for.
    """
    diagnosis = with_checkpoints(diagnose(monitor), checkpoint_folder, states)
    if samples is None:
        return diagnosis
    return with_samples(diagnosis, samples, [type(rule) for rule in monitor.rules])

"""Judges a run: its observations go through a Monitor, then the evidence is added.

Invariant: only `Run.observations` is judged, by the run's recorded settings where the caller does not
override them. So a later judgement equals the live one.
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
        settings: overrides of the settings with which the live run was judged.
        rules: your own rules, in addition to the installed ones and those in `settings`. A `select` in
            `settings` must name them.
        algorithm: the training algorithm (`grpo`, `dpo`), where the log does not show it.

    Raises:
        TypeError: `path_or_run` is neither a path nor a Run, or a rule is not a subclass of Rule.
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
    """Refuse a run that recorded only its report, because there are no events to judge.

    Raises:
        RLDKError: the run was recorded without its events; the message names its final report.
    """
    if not isinstance(run, RecordedRun) or run.parts or not run.files.final_report.exists():
        return
    if run.info.end is not None and run.info.end.records:
        raise RLDKError(
            f"{run.path} has no events (recorded with enable_jsonl_logging=False, or RLDK_DISABLE_JSONL). "
            f"Its verdict is in {run.files.final_report}"
        )


def monitor_of(run: Run, settings: Settings | None = None, *, algorithm: str | None = None) -> Monitor:
    """A Monitor that has observed the whole run.

    Args:
        run: the run to read; reading adds to its `bad_lines`.
        settings: overrides of `run.settings()`.
        algorithm: the algorithm by the user, where the log does not show it.
    """
    given = settings or Settings()
    settings = run.settings(given.rules).overridden_by(given)
    monitor = settings.monitor(run.context(algorithm=algorithm))
    monitor.begin()
    for at in run.observations():
        monitor.observe(at)
    return monitor


def diagnosis_of(run: Run, monitor: Monitor) -> Diagnosis:
    """The diagnosis of a monitor that has observed the whole run, with its checkpoints and samples."""
    return diagnosis_with(monitor, run.checkpoint_folder, checkpoint_states(run.analyses()), run.samples)


def diagnosis_with(
    monitor: Monitor,
    checkpoint_folder: str | Path | None,
    states: Mapping[int, CheckpointState],
    samples: Callable[[], Samples] | None = None,
) -> Diagnosis:
    """The diagnosis of a monitor so far, with the last good checkpoints and the samples that show a finding.

    Args:
        monitor: the monitor that judged the run.
        checkpoint_folder: where the trainer saves its checkpoints; None where that is not known.
        states: the states of the analysed checkpoints, by step.
        samples: returns the run's samples; None: add no samples.
    """
    diagnosis = with_checkpoints(diagnose(monitor), checkpoint_folder, states)
    if samples is None:
        return diagnosis
    return with_samples(diagnosis, samples, [type(rule) for rule in monitor.rules])

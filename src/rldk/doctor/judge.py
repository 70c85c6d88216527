"""The doctor's way to a run: its observations through a Monitor, then the evidence.

Invariant: what is judged is what `Run.observations` yields, by the settings that the run was recorded with
unless others are given, so that a run is judged afterwards as it was while it was live.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from rldk.doctor.good_checkpoint import CheckpointState, checkpoint_states, with_checkpoints
from rldk.doctor.sample_evidence import with_samples
from rldk.health import Diagnosis, Monitor, Settings, diagnose
from rldk.runs.run import Run
from rldk.runs.samples import Samples

__all__ = ["diagnosis_of", "diagnosis_with", "judge", "monitor_of"]


def judge(run: Run, settings: Settings | None = None, *, algorithm: str | None = None) -> Diagnosis:
    """The diagnosis of a run; the arguments are those of `monitor_of`."""
    return diagnosis_of(run, monitor_of(run, settings, algorithm=algorithm))


def monitor_of(run: Run, settings: Settings | None = None, *, algorithm: str | None = None) -> Monitor:
    """A Monitor that has observed the whole run.

    Args:
        run: what to read; its `bad_lines` grow meanwhile.
        settings: how to judge; `run.settings()` by default.
        algorithm: what the user says that it was, where the log does not say it.
    """
    monitor = (settings or run.settings()).monitor(run.context(algorithm=algorithm))
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

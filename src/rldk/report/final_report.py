"""The files at the end of a run: the metric tables and `{run_id}_final_report.json`.

Invariant: every number comes from the recorded events; each file is replaced whole or not at all.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from rldk._version import __version__
from rldk.doctor.good_checkpoint import checkpoint_states
from rldk.doctor.sample_evidence import with_samples
from rldk.health import Diagnosis, Rule
from rldk.metrics import metric_of
from rldk.recording.redaction import redact_texts
from rldk.runs import RecordedRun
from rldk.runs.metric_stats import MetricStats
from rldk.runs.metric_table import Survey, write_csv, write_json
from rldk.schema.event import Event
from rldk.schema.files import RunFiles, replacing
from rldk.schema.run_info import RunEnd

__all__ = ["final_report", "write_end"]

RESOURCES = "resource/"
"""Prefix of the names of measured resources."""


def write_end(
    files: RunFiles,
    events: Iterable[Event],
    end: RunEnd,
    diagnosis: Diagnosis,
    rules: Sequence[type[Rule]] = (),
) -> None:
    """Write metrics.json, metrics.csv and final_report.json.

    Args:
        files: the files of the run.
        events: its events; they are iterated twice.
        end: how it ended.
        diagnosis: its diagnosis.
        rules: rules that judged the run and are not installed.

    Raises:
        OSError: the disk refuses a file; the files written before are whole.
    """
    if end.how == "terminated":  # the process has only seconds: the most useful file comes first
        _write_report(files, Survey.of(events), end, diagnosis)
    survey = Survey()
    try:
        with replacing(files.metrics_json) as file:
            survey = write_json(events, file)
        with replacing(files.metrics_csv) as file:
            write_csv(events, file, survey)
    finally:  # the report is small, and a full disk may still take it
        diagnosis = with_samples(diagnosis, RecordedRun(files).samples, rules)
        _write_report(files, survey if survey.records else Survey.of(events), end, diagnosis)


def _write_report(files: RunFiles, survey: Survey, end: RunEnd, diagnosis: Diagnosis) -> None:
    with replacing(files.final_report) as file:
        report = redact_texts(final_report(files, survey, end, diagnosis))
        file.write(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def final_report(files: RunFiles, survey: Survey, end: RunEnd, diagnosis: Diagnosis) -> dict[str, Any]:
    """The final report of a run: status, findings, end, steps, time, metrics, lost records."""
    return {
        "rldk": __version__,
        "run_id": files.run_id,
        "status": diagnosis.status,
        "end": {
            name: getattr(end, name)
            for name in ("how", "detail", "step", "time", "where", "activity", "during")
        },
        "records": survey.records,
        "first_step": survey.first_step,
        "last_step": survey.last_step,
        "wall_time": end.wall_time,
        "metrics": {
            name: _main(name, found)
            for name, found in survey.summaries.items()
            if not name.startswith(RESOURCES)
        },
        "resources": {
            name: {"mean": found.mean, "max": found.max, "last": found.last}
            for name, found in survey.summaries.items()
            if name.startswith(RESOURCES) and found.count
        },
        "checkpoints": [
            {"step": step, "good": state.good, "because": state.because}
            for step, state in sorted(checkpoint_states(RecordedRun(files).analyses()).items())
        ],
        "lost": {
            "records": end.records_lost,
            "records_in_memory": end.records_in_memory,
            "records_delayed": end.records_delayed,
            "longest_disk_wait": end.longest_disk_wait,
            "lines": end.lines_lost,
            "sync_error": end.sync_error,
            "hook_failures": end.hook_failures,
        },
        "findings": msgspec.to_builtins(diagnosis.findings),
        "not_checked": msgspec.to_builtins(diagnosis.not_checked),
        "files": sorted({path.name for path in (*files.existing(), files.final_report)}),
    }


def _main(name: str, found: MetricStats) -> dict[str, Any]:
    """First and last value, and the best value if the metric has a better direction."""
    metric = metric_of(name)
    best = {"up": found.max, "down": found.min}.get(metric.direction) if metric and found.count else None
    return {"first": found.first, "last": found.last, "best": best, "nonfinite": found.nonfinite}

"""What rldk says in a training's terminal: single lines that do not tear the progress bar.

Invariant: nothing is printed where the user has configured logging: then it is the user's logging
that prints; and a line never contains a newline of its own, nor what a terminal would obey.
"""

import logging
import sys
from contextlib import suppress
from pathlib import Path

from rldk._log import logger
from rldk.health import Diagnosis
from rldk.recording.recorder import Recorder
from rldk.report.text import plain
from rldk.schema.run_info import RunEnd

__all__ = ["closing_line", "print_line", "show_warnings", "verdict_line"]


class _Terminal(logging.Handler):
    """Prints warnings through tqdm when a bar may be up; silent where the root logger has handlers."""

    def emit(self, record: logging.LogRecord) -> None:
        if logging.getLogger().handlers and logger.propagate:
            return
        print_line(record.getMessage())


_terminal = _Terminal(logging.WARNING)


def show_warnings() -> None:
    """Have rldk's warnings shown, unless the user's logging shows them."""
    if _terminal not in logger.handlers:
        logger.addHandler(_terminal)


def print_line(text: str) -> None:
    """Print one line to stderr, above the progress bar if there is one."""
    line = plain(" ".join(text.splitlines()))
    with suppress(Exception):  # a closed terminal
        if tqdm := sys.modules.get("tqdm"):
            tqdm.tqdm.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr)


def closing_line(recorder: Recorder, end: RunEnd, folder: Path) -> str:
    """The line at the end of a run.

    Args:
        recorder: what recorded it.
        end: how it ended.
        folder: the callback's `output_dir`, as the user gave it.
    """
    run_id = recorder.files.run_id
    if missing := end.records_in_memory + end.records_lost:
        return f"rldk: {missing} of {end.records} records of {run_id} could not be written"
    found = verdict_line(recorder.live_doctor.diagnosis())
    if not recorder.has_events:
        return f"rldk: the tables of {run_id} are in {folder}, its events are off; {found}"
    return (
        f"rldk: {end.records} records of {run_id} are in {folder}; {found}. "
        f"Look: rldk doctor {folder / run_id}"
    )


def verdict_line(diagnosis: Diagnosis) -> str:
    """The verdict on a run in a few words."""
    alarms = [finding.rule for finding in diagnosis.findings if finding.severity != "info"]
    if alarms:
        return f"{diagnosis.status}: {', '.join(alarms)}"
    if not diagnosis.enough:
        return "too little to judge"
    return "nothing is wrong"

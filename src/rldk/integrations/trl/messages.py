"""What rldk says in a training's terminal: single lines that do not tear the progress bar.

Invariant: nothing is printed where the user has configured logging: then it is the user's logging
that prints; and a line never contains a newline of its own, nor what a terminal would obey.
"""

import logging
import sys
from contextlib import suppress
from pathlib import Path

from rldk.health import Diagnosis
from rldk.recording.recorder import Ending, Recorder
from rldk.report.words import plain
from rldk.speech import logger

__all__ = ["closing_line", "closing_words", "say", "show_messages"]


class _Terminal(logging.Handler):
    """Prints warnings through tqdm when a bar may be up; silent where the root logger has handlers."""

    def emit(self, record: logging.LogRecord) -> None:
        if logging.getLogger().handlers and logger.propagate:
            return
        say(record.getMessage())


_terminal = _Terminal(logging.WARNING)


def show_messages() -> None:
    """Have rldk's warnings shown, unless the user's logging shows them."""
    if _terminal not in logger.handlers:
        logger.addHandler(_terminal)


def say(text: str) -> None:
    """Print one line to stderr, above the progress bar if there is one."""
    line = plain(" ".join(text.splitlines()))
    with suppress(Exception):  # a closed terminal
        if tqdm := sys.modules.get("tqdm"):
            tqdm.tqdm.write(line, file=sys.stderr)
        else:
            print(line, file=sys.stderr)


def closing_line(recorder: Recorder, ending: Ending, folder: Path) -> str:
    """The line at the end of a run.

    Args:
        recorder: what recorded it.
        ending: how it ended.
        folder: the callback's `output_dir`, as the user gave it.
    """
    run_id = recorder.files.run_id
    if missing := ending.records_in_memory + ending.records_lost:
        return f"rldk: {missing} of {ending.records} records of {run_id} could not be written"
    found = closing_words(recorder.watch.diagnosis())
    if not recorder.has_events:
        return f"rldk: the tables of {run_id} are in {folder}, its events are off; {found}"
    return (
        f"rldk: {ending.records} records of {run_id} are in {folder}; {found}. "
        f"Look: rldk doctor {folder / run_id}"
    )


def closing_words(diagnosis: Diagnosis) -> str:
    """The verdict on a run in a few words."""
    alarms = [finding.rule for finding in diagnosis.findings if finding.severity != "info"]
    if alarms:
        return f"{diagnosis.status}: {', '.join(alarms)}"
    if not diagnosis.enough:
        return "too little to judge"
    return "nothing is wrong"

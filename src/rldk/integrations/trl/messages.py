"""What rldk says in a training's terminal: single lines that do not tear the progress bar.

Invariant: nothing is printed where the user has configured logging: then it is the user's logging
that prints; and a line never contains a newline of its own, nor what a terminal would obey.
"""

import logging
import sys
from contextlib import suppress

from rldk.health import Diagnosis
from rldk.report.words import plain
from rldk.speech import logger

__all__ = ["closing_words", "say", "show_messages"]


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


def closing_words(diagnosis: Diagnosis) -> str:
    """The verdict on a run in a few words, for the line at its end."""
    alarms = [finding.rule for finding in diagnosis.findings if finding.severity != "info"]
    if alarms:
        return f"{diagnosis.status}: {', '.join(alarms)}"
    if not diagnosis.enough:
        return "too little to judge"
    return "nothing is wrong"

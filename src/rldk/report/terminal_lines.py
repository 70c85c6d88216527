"""What rldk says in a training's terminal: single lines that do not tear the progress bar.

Invariant: nothing is printed where the user has configured logging: then it is the user's logging
that prints; and a line never contains a newline of its own, nor what a terminal would obey.
"""

import logging
import sys
from contextlib import suppress

from rldk._log import logger
from rldk.report.text import plain

__all__ = ["print_line", "show_warnings"]


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

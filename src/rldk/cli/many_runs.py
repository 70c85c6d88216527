"""Commands over several logs: globs, duplicate paths to the same run, unreadable logs.

Invariant: a command takes each log once, in the order of the paths; it reports an unreadable log in a line
on stderr and continues with the others.
"""

import glob
import os
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from rldk.cli.output import message_of
from rldk.errors import RLDKError
from rldk.runs import RecordedRun, Run

__all__ = ["expanded", "for_each", "identity"]

Item = TypeVar("Item")
T = TypeVar("T")


def expanded(paths: Sequence[Path]) -> list[Path]:
    """The paths, with each glob (`*`, `?`, `[]`, `**`) replaced by its matches, sorted by name.

    An existing path is never a glob, whatever characters it has; a glob without a match stays as it is.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if os.path.lexists(path) or not glob.has_magic(str(path)):
            found[path] = None
        else:
            matching = sorted(glob.glob(str(path), recursive=True))
            found.update(dict.fromkeys(map(Path, matching) if matching else [path]))
    return list(found)


def for_each(items: Sequence[Item], do: Callable[[Item], T | None]) -> tuple[list[T], bool]:
    """The results of `do` except None, and whether any item failed.

    With a single item, an error is raised; with several, each error goes to stderr and the loop continues.
    """
    results, failed = [], False
    for item in items:
        try:
            result = do(item)
        except (RLDKError, OSError) as error:
            if len(items) == 1 or isinstance(error, BrokenPipeError):
                raise
            failed = True
            click.echo(f"rldk: {message_of(error)}", err=True)
        else:
            if result is not None:
                results.append(result)
    return results, failed


def identity(run: Run) -> Hashable:
    """A key that is equal for all paths to the same log: each file of a run means the whole run."""
    path = run.path.absolute()
    if not isinstance(run, RecordedRun):
        return path
    return (path.parent, run.run_id, *(run.parts if not run.files.exist() else ()))

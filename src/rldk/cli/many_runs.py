"""Commands over several logs: globs, the same run under several names, one log that cannot be read.

Invariant: each log is taken once, in the order of the paths; one that cannot be read is told in a line on
stderr and costs none of the others.
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
    """The paths, with what matches in the place of each glob (`*`, `?`, `[]`, `**`), by name.

    A path that exists is no glob, whatever characters are in it; a glob that nothing matches stays.
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
    """What `do` gives for each item but None, and whether one failed.

    Of a single item an error is raised; of several each is told on stderr, and the others go on.
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
    """What two paths to one log have in common: each file of a run names the whole run."""
    path = run.path.absolute()
    if not isinstance(run, RecordedRun):
        return path
    return (path.parent, run.run_id, *(run.parts if not run.files.exist() else ()))

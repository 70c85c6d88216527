"""A run on disk: `Run`, and `open_run`, the one way to it.

Invariant: a `Run` only reads; its events are the same whether the run is live, ended or was killed.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from rldk.errors import AmbiguousRunError, RunNotFoundError
from rldk.event import Event, Phase
from rldk.files import RunFiles, runs_in
from rldk.lock import is_locked
from rldk.runs.records import BadLine, last_event, read_events

__all__ = ["Run", "State", "open_run"]

State = Literal["running", "ended", "unfinished"]


class Run:
    """The events of one run, in order, each train step once. Iterate over it as often as you like.

    Args:
        files: the run's files.
        parts: the files that hold its events, oldest first; `files.parts()` by default.
    """

    def __init__(self, files: RunFiles, parts: list[Path] | None = None) -> None:
        self.files = files
        """Where the run lies."""
        self._bad: dict[tuple[Path, int], BadLine] = {}
        self._parts = parts

    @property
    def run_id(self) -> str:
        """The run's name."""
        return self.files.run_id

    @property
    def parts(self) -> list[Path]:
        """The files that hold the events, oldest first."""
        return self.files.parts() if self._parts is None else self._parts

    @property
    def state(self) -> State:
        """`running`: a live process records it; `ended`: it says how; `unfinished`: it was killed."""
        if self.info.get("end"):
            return "ended"
        return "running" if is_locked(self.files.lock) else "unfinished"

    @property
    def info(self) -> dict[str, Any]:
        """What `{run_id}_run.json` says; empty where there is none, or it cannot be read."""
        try:
            info = msgspec.json.decode(self.files.run.read_bytes())
        except (OSError, msgspec.DecodeError):
            return {}
        return info if isinstance(info, dict) else {}

    def __iter__(self) -> Iterator[Event]:
        """The events; superseded branches are left out, bad lines go to `bad_lines`."""
        return read_events(self.files if self._parts is None else self._parts, self._refuse)

    @property
    def bad_lines(self) -> list[BadLine]:
        """The lines that could not be read in the passes so far, each once."""
        return list(self._bad.values())

    def _refuse(self, bad: BadLine) -> None:
        self._bad.setdefault((bad.path, bad.number), bad)

    def last(self, phase: Phase | None = None) -> Event | None:
        """The newest event (of `phase`), without reading the others."""
        if self._parts is not None:
            return last_event(self._parts, phase)
        while True:
            newest = self.files.last_part()
            try:
                event = last_event(self.parts, phase)
            except FileNotFoundError:
                if self.files.last_part() == newest:
                    raise
                continue  # a part was finished meanwhile
            if self.files.last_part() == newest:
                return event


def open_run(path: str | Path) -> Run:
    """The run at `path`: a folder that holds one, a run's name in its folder (`logs/my_run`), or any
    file of it.

    Raises:
        RunNotFoundError: there is none.
        AmbiguousRunError: the folder holds several; its `runs` lists them.
    """
    path = Path(path)
    if path.is_dir():
        found = runs_in(path)
        if len(found) > 1:
            raise AmbiguousRunError(path, [str(path / files.run_id) for files in found])
        if found:
            return Run(found[0])
        raise RunNotFoundError(f"{path} holds no run. Look for runs below it with: rldk runs {path}")
    if path.is_file():
        owner = RunFiles.of(path)
        return Run(owner) if owner else Run(RunFiles(path.parent, path.stem), [path])
    files = RunFiles(path.parent, path.name)
    if files.exist():
        return Run(files)
    raise RunNotFoundError(f"there is no run at {path}. List the runs of a folder with: rldk runs FOLDER")

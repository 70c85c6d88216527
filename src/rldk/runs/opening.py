"""`open_run`: the one way to any run, ours or another tool's.

Invariant: a path gives one run, or one error that says what was tried and what to type; two runs are
never mixed.
"""

from collections.abc import Mapping
from pathlib import Path

from rldk.errors import AmbiguousRunError, EventError, RLDKError, RunNotFoundError, UnknownFormatError
from rldk.event import decode
from rldk.files import RunFiles, runs_in
from rldk.runs.adapters import adapters, jsonl
from rldk.runs.adapters.base import Adapter, Probe
from rldk.runs.foreign import ForeignRun
from rldk.runs.run import Run

__all__ = ["open_run"]

OURS = "rldk"
"""What `input_format` calls the files of `RLDKCallback`."""
SURE = 0.5
"""The least confidence by which a folder is a log, or a file in a folder is."""


def open_run(
    path: str | Path, *, input_format: str | None = None, mapping: Mapping[str, str] | None = None
) -> Run:
    """The run at `path`.

    Args:
        path: a run of ours (its name in its folder, `logs/my_run`; any file of it; a folder that holds
            one), or a log of another tool (a file, or the folder that the tool wrote).
        input_format: the format, where it is not to be guessed: `rldk` or an adapter's name.
        mapping: more names for a foreign log: its key to the canonical name; they win over the dialect.

    Raises:
        RunNotFoundError: there is nothing at the path.
        AmbiguousRunError: the folder holds several runs; its `runs` lists them.
        UnknownFormatError: the file is no log in a format that rldk knows.
        OSError: the path cannot be read.
    """
    path = Path(path)
    try:
        exists = path.exists()
    except ValueError as error:  # a NUL byte in the name
        raise RunNotFoundError(f"{str(path)!r} is no path: {error}") from None
    if input_format not in (None, OURS):
        if not exists:
            raise RunNotFoundError(f"there is no file {path}")
        _refuse_special(path)
        return ForeignRun(path, _named(input_format), mapping)
    ours = _ours(path)
    if ours is not None:
        return ours
    if not exists:
        raise RunNotFoundError(f"there is no run at {path}. List the runs of a folder with: rldk runs FOLDER")
    if input_format == OURS:
        if path.is_file():
            return Run(RunFiles(path.parent, path.stem), [path])
        raise UnknownFormatError(path, [OURS])
    _refuse_special(path)
    return ForeignRun(*_best(path), mapping)


def _refuse_special(path: Path) -> None:
    """Refuse pipes and devices: a log is read more than once, and a pipe may wait for ever."""
    if not (path.is_file() or path.is_dir()):
        raise RLDKError(f"{path} is neither a file nor a folder. Write what it gives to a file first")


def _ours(path: Path) -> Run | None:
    """The run of ours that the path names; None where it names none."""
    if path.is_dir():
        found = [files for files in runs_in(path) if not _is_foreign(files)]
        if len(found) > 1:
            raise AmbiguousRunError(path, [str(path / files.run_id) for files in found])
        return Run(found[0]) if found else None
    if path.is_file():
        owner = RunFiles.of(path)
        if owner is not None and owner.parts() and not _is_foreign(owner):
            return Run(owner)
        return Run(RunFiles(path.parent, path.stem), [path]) if _holds_events(path) else None
    files = RunFiles(path.parent, path.name)
    return Run(files) if files.exist() and not _is_foreign(files) else None


def _is_foreign(files: RunFiles) -> bool:
    """Whether files of these names are another tool's: its records, and nothing of ours beside them."""
    parts = [] if files.run.exists() else files.parts()
    # So sure is also who knows the name alone, where the first line is too long to be looked at whole.
    return bool(parts) and all(jsonl.ADAPTER.confidence(Probe(part)) > SURE for part in parts)


def _holds_events(path: Path) -> bool:
    """Whether the first whole lines of a file are Events."""
    for line in Probe(path).head.split(b"\n")[:5]:
        try:
            decode(line)
        except EventError:
            continue
        return True
    return False


def _best(path: Path) -> tuple[Path, Adapter]:
    """The log and the adapter that is surest of it, the earlier one where two are as sure.

    The log is `path`, or the only log in the folder `path`.
    """
    probe = Probe(path)
    adapter = max(adapters(), key=lambda adapter: adapter.confidence(probe))
    sure = adapter.confidence(probe)
    if sure >= SURE or (sure and not probe.is_dir):
        return path, adapter
    if not probe.is_dir:
        raise UnknownFormatError(path, [OURS, *(adapter.name for adapter in adapters())])
    inside = [file for file in sorted(path.iterdir()) if file.is_file() and _is_log(file)]
    if len(inside) == 1:
        return _best(inside[0])
    if inside:
        raise AmbiguousRunError(path, [str(file) for file in inside])
    if sure:
        return path, adapter
    raise RunNotFoundError(f"{path} holds no run. Look for runs below it with: rldk runs {path}")


def _is_log(path: Path) -> bool:
    try:
        probe = Probe(path)
        return any(adapter.confidence(probe) >= SURE for adapter in adapters())
    except OSError:
        return False


def _named(name: str | None) -> Adapter:
    for adapter in adapters():
        if adapter.name == name:
            return adapter
    known = ", ".join([OURS, *(adapter.name for adapter in adapters())])
    raise RLDKError(f"there is no input format {name!r}; the formats are: {known}")

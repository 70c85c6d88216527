"""`open_run`: opens any run, of rldk or another tool.

Invariant: a path gives a single run, or an error that says what rldk tried and what to type; two runs are
never mixed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rldk.errors import AmbiguousRunError, EventError, RLDKError, RunNotFoundError, UnknownFormatError
from rldk.runs.adapters import adapters, jsonl
from rldk.runs.adapters.base import Adapter, Probe
from rldk.runs.foreign_run import ForeignRun
from rldk.runs.likeness import likeness
from rldk.runs.recorded_run import RecordedRun
from rldk.runs.run import Run
from rldk.runs.sample_lines import holds_samples
from rldk.schema.event import decode
from rldk.schema.files import RunFiles, runs_in

__all__ = ["TRLAdapter", "open_run"]

OURS = "rldk"
"""The `input_format` of files of `RLDKCallback`."""
TRL = ("trainer-state", "trl-completions", "console")
"""The formats that TRL itself writes."""
SURE = 0.5
"""Smallest confidence at which a folder, or a file in a folder, counts as a log."""

GUESS = 0.1
"""Confidence of a mere guess: the file is a log only if a record is found in it."""


def open_run(
    path: str | Path, *, input_format: str | Adapter | None = None, mapping: Mapping[str, str] | None = None
) -> Run:
    """The run at `path`.

    Args:
        path: a run of rldk (folder and name, `logs/my_run`; any file of it; a folder with a single run), or a
            log of another tool (a file, or the folder that the tool wrote).
        input_format: `rldk`, the name of an adapter, or an adapter; detected by default.
        mapping: names for another tool's log, from its key to the canonical name; they override the dialect.

    Raises:
        RunNotFoundError: the path does not exist, or has no run.
        AmbiguousRunError: the folder has several runs; its `runs` lists them.
        UnknownFormatError: the file is no log in a format that rldk knows.
        OSError: rldk cannot read the path.

    Example:
        >>> run = open_run("trainer_state.json")
        >>> run.format
        'trainer-state'
        >>> [event.metrics["reward_mean"] for event in run][:3]
        [0.01, 0.02, 0.03]
    """
    path = Path(path)
    if input_format in (None, OURS):
        candidates = adapters() if input_format is None else ()
        return _opened(path, candidates, mapping)
    if not _exists(path):
        raise RunNotFoundError(f"{path} does not exist")
    _refuse_special(path)
    return ForeignRun(path, _named(input_format), mapping)


def TRLAdapter(path: str | Path, *, mapping: Mapping[str, str] | None = None) -> Run:  # noqa: N802 - a name that was asked for
    """The run at `path`, if TRL or rldk wrote it; it refuses a log of another tool.

    It reads the events of `RLDKCallback`, a trainer_state.json, a checkpoint or the trainer's folder with
    these, the tables of completions, and captured console output.

    Args:
        path: as for `open_run`.
        mapping: as for `open_run`.

    Raises:
        RLDKError: as for `open_run`.
        OSError: rldk cannot read the path.
    """
    candidates = [adapter for adapter in adapters() if adapter.name in TRL]
    return _opened(Path(path), candidates, mapping, least=SURE)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except ValueError as error:  # a NUL byte in the name
        raise RunNotFoundError(f"{str(path)!r} is no path: {error}") from None


def _opened(
    path: Path, candidates: Sequence[Adapter], mapping: Mapping[str, str] | None, least: float = 0.0
) -> Run:
    """The run of rldk, or the log for which an adapter is more confident than `least`."""
    exists = _exists(path)
    ours = _ours(path)
    if ours is not None:
        return ours
    if not exists:
        raise RunNotFoundError(f"{path} does not exist. List the runs of a folder with: rldk runs FOLDER")
    if not candidates:
        if path.is_file():
            return RecordedRun(RunFiles(path.parent, path.stem), [path])
        raise UnknownFormatError(path, [OURS])
    _refuse_special(path)
    return ForeignRun(*_best(path, candidates, least), mapping)


def _refuse_special(path: Path) -> None:
    """Refuse pipes and devices: rldk reads a log more than once, and a pipe may block forever."""
    if not (path.is_file() or path.is_dir()):
        raise RLDKError(f"{path} is neither a file nor a folder. Write its output to a file first")


def _ours(path: Path) -> Run | None:
    """The run of rldk that the path names; None if there is none."""
    if path.is_dir():
        found = [files for files in runs_in(path) if not _is_foreign(files)]
        if len(found) > 1:
            raise AmbiguousRunError(path, [str(path / files.run_id) for files in found])
        return RecordedRun(found[0]) if found else None
    if path.is_file():
        owner = RunFiles.of(path)
        if owner is not None and owner.parts() and not _is_foreign(owner):
            return RecordedRun(owner)
        if owner is not None and path == owner.samples and holds_samples(path):
            return RecordedRun(owner)  # its events are elsewhere, or were not recorded
        return RecordedRun(RunFiles(path.parent, path.stem), [path]) if _holds_events(path) else None
    files = RunFiles(path.parent, path.name)
    return RecordedRun(files) if files.exist() and not _is_foreign(files) else None


def _is_foreign(files: RunFiles) -> bool:
    """Whether another tool wrote files with such names: its records, without a run.json of rldk."""
    parts = [] if files.run.exists() else files.parts()
    try:
        # Not SURE itself: an adapter that knows only the name, as the first line is too long, is that sure.
        return bool(parts) and all(jsonl.ADAPTER.confidence(Probe(part)) > SURE for part in parts)
    except OSError:  # a live run has compressed the part meanwhile, or rldk may not read it
        return False


def _holds_events(path: Path) -> bool:
    """Whether an Event is among the first lines of a file."""
    for line in Probe(path).head.split(b"\n")[:5]:
        try:
            decode(line)
        except EventError:
            continue
        return True
    return False


def _best(path: Path, candidates: Sequence[Adapter], least: float) -> tuple[Path, Adapter]:
    """The log and the most confident adapter, the earlier in a tie.

    The log is `path`, or the only log in the folder `path`.
    """
    probe = Probe(path)
    adapter = max(candidates, key=lambda adapter: adapter.confidence(probe))
    sure = adapter.confidence(probe)
    if sure >= SURE or (sure > least and not probe.is_dir and (sure > GUESS or _holds_row(path, adapter))):
        return path, adapter
    if not probe.is_dir:
        raise UnknownFormatError(path, [OURS, *(adapter.name for adapter in candidates)], likeness(probe))
    inside = [file for file in sorted(path.iterdir()) if file.is_file() and _is_log(file, candidates)]
    if len(inside) == 1:
        return _best(inside[0], candidates, least)
    if inside:
        raise AmbiguousRunError(path, [str(file) for file in inside])
    if sure:
        return path, adapter
    raise RunNotFoundError(f"{path} has no run. List the runs below it with: rldk runs {path}")


def _holds_row(path: Path, adapter: Adapter) -> bool:
    """Whether the adapter finds a record at all."""
    return next(adapter.rows(path, lambda _: None), None) is not None


def _is_log(path: Path, candidates: Sequence[Adapter]) -> bool:
    try:
        probe = Probe(path)
        return any(adapter.confidence(probe) >= SURE for adapter in candidates)
    except OSError:
        return False


def _named(name: str | Adapter | None) -> Adapter:
    if isinstance(name, Adapter):
        return name
    for adapter in adapters():
        if adapter.name == name:
            return adapter
    known = ", ".join([OURS, *(adapter.name for adapter in adapters())])
    raise RLDKError(f"unknown input format {name!r}; the formats are: {known}")

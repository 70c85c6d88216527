"""`open_run`: the one way to any run, ours or another tool's.

Invariant: a path gives one run, or one error that says what was tried and what to type; two runs are
never mixed.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rldk.errors import AmbiguousRunError, EventError, RLDKError, RunNotFoundError, UnknownFormatError
from rldk.runs.adapters import adapters, jsonl
from rldk.runs.adapters.base import Adapter, Probe
from rldk.runs.foreign_run import ForeignRun
from rldk.runs.recorded_run import RecordedRun
from rldk.runs.run import Run
from rldk.runs.sample_lines import holds_samples
from rldk.schema.event import decode
from rldk.schema.files import RunFiles, runs_in

__all__ = ["TRLAdapter", "open_run"]

OURS = "rldk"
"""What `input_format` calls the files of `RLDKCallback`."""
TRL = ("trainer-state", "trl-completions", "console")
"""The formats that TRL itself writes."""
SURE = 0.5
"""The least confidence by which a folder is a log, or a file in a folder is."""


def open_run(
    path: str | Path, *, input_format: str | Adapter | None = None, mapping: Mapping[str, str] | None = None
) -> Run:
    """The run at `path`.

    Args:
        path: a run of ours (its name in its folder, `logs/my_run`; any file of it; a folder that holds
            one), or a log of another tool (a file, or the folder that the tool wrote).
        input_format: the format, where it is not to be guessed: `rldk`, an adapter's name, or an adapter.
        mapping: more names for a foreign log: its key to the canonical name; they win over the dialect.

    Raises:
        RunNotFoundError: there is nothing at the path.
        AmbiguousRunError: the folder holds several runs; its `runs` lists them.
        UnknownFormatError: the file is no log in a format that rldk knows.
        OSError: the path cannot be read.

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
        raise RunNotFoundError(f"there is no file {path}")
    _refuse_special(path)
    return ForeignRun(path, _named(input_format), mapping)


def TRLAdapter(path: str | Path, *, mapping: Mapping[str, str] | None = None) -> Run:  # noqa: N802 - a name that was asked for
    """The run at `path`, where TRL or rldk wrote it; a log of another tool is refused, never guessed.

    It reads the events of `RLDKCallback`, a trainer_state.json, a checkpoint or the trainer's folder with
    them, the tables of completions, and a console that was captured.

    Args:
        path: as of `open_run`.
        mapping: as of `open_run`.

    Raises:
        RLDKError: as `open_run` does.
        OSError: the path cannot be read.
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
    """The run of ours, or the log that one of the candidates is surer of than `least`."""
    exists = _exists(path)
    ours = _ours(path)
    if ours is not None:
        return ours
    if not exists:
        raise RunNotFoundError(f"there is no run at {path}. List the runs of a folder with: rldk runs FOLDER")
    if not candidates:
        if path.is_file():
            return RecordedRun(RunFiles(path.parent, path.stem), [path])
        raise UnknownFormatError(path, [OURS])
    _refuse_special(path)
    return ForeignRun(*_best(path, candidates, least), mapping)


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
        return RecordedRun(found[0]) if found else None
    if path.is_file():
        owner = RunFiles.of(path)
        if owner is not None and owner.parts() and not _is_foreign(owner):
            return RecordedRun(owner)
        if owner is not None and path == owner.samples and holds_samples(path):
            return RecordedRun(owner)  # of a run whose events lie elsewhere, or were not recorded
        return RecordedRun(RunFiles(path.parent, path.stem), [path]) if _holds_events(path) else None
    files = RunFiles(path.parent, path.name)
    return RecordedRun(files) if files.exist() and not _is_foreign(files) else None


def _is_foreign(files: RunFiles) -> bool:
    """Whether files of these names are another tool's: its records, and nothing of ours beside them."""
    parts = [] if files.run.exists() else files.parts()
    try:
        # So sure is also who knows the name alone, where the first line is too long to be looked at whole.
        return bool(parts) and all(jsonl.ADAPTER.confidence(Probe(part)) > SURE for part in parts)
    except OSError:  # a live run compressed the part meanwhile, or it may not be read
        return False


def _holds_events(path: Path) -> bool:
    """Whether the first whole lines of a file are Events."""
    for line in Probe(path).head.split(b"\n")[:5]:
        try:
            decode(line)
        except EventError:
            continue
        return True
    return False


def _best(path: Path, candidates: Sequence[Adapter], least: float) -> tuple[Path, Adapter]:
    """The log and the adapter that is surest of it, the earlier one where two are as sure.

    The log is `path`, or the only log in the folder `path`.
    """
    probe = Probe(path)
    adapter = max(candidates, key=lambda adapter: adapter.confidence(probe))
    sure = adapter.confidence(probe)
    if sure >= SURE or (sure > least and not probe.is_dir):
        return path, adapter
    if not probe.is_dir:
        raise UnknownFormatError(path, [OURS, *(adapter.name for adapter in candidates)])
    inside = [file for file in sorted(path.iterdir()) if file.is_file() and _is_log(file, candidates)]
    if len(inside) == 1:
        return _best(inside[0], candidates, least)
    if inside:
        raise AmbiguousRunError(path, [str(file) for file in inside])
    if sure:
        return path, adapter
    raise RunNotFoundError(f"{path} holds no run. Look for runs below it with: rldk runs {path}")


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
    raise RLDKError(f"there is no input format {name!r}; the formats are: {known}")

"""The files of a run: their names, and a search for the runs in a folder.

Owns every file name: one prefix per run, one suffix per kind. Invariant: `safe_run_id` makes a legal file
name for every file system, `runs_in` finds each run again, and each question about one run or all runs lists
the folder once.
"""

import os
import re
import sys
import time
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import IO, NamedTuple

__all__ = ["RunFiles", "RunListing", "list_runs", "remove_leftovers", "replacing", "runs_in", "safe_run_id"]

_LIVE = sys.maxsize
"""Number of the part that is being written: above the numbers of all finished parts."""
_MAX_ID_BYTES = 160  # a file name holds 255 bytes, and suffixes and a number follow
_SUFFIXES = {
    "run": "_run.json",
    "alerts": "_alerts.json",
    "final_report": "_final_report.json",
    "metrics_csv": "_metrics.csv",
    "metrics_json": "_metrics.json",
    "checkpoints": "_checkpoints.jsonl",
    "samples": "_samples.jsonl",
    "crash": "_crash.txt",
}
_KINDS = {suffix: order for order, suffix in enumerate(_SUFFIXES.values())}
_NAME = re.compile(
    r"(?P<run>.+)(?:_(?P<events>events)(?:\.(?P<part>\d{4,}))?\.jsonl(?:\.gz)?"
    r"|_resources\.rank(?P<rank>\d+)\.jsonl|_crash\.rank\d+\.txt"
    rf"|(?P<suffix>{'|'.join(map(re.escape, _KINDS))}))"
)

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.(?P<place>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.tmp")
_LEFT_SECONDS = 86_400.0


class RunFiles(NamedTuple):
    """The paths of the files of one run: `folder/{run_id}_{kind}`."""

    folder: Path
    """The callback's `output_dir`."""
    run_id: str
    """The run's name, safe as a part of a file name."""

    @classmethod
    def of(cls, path: Path) -> "RunFiles | None":
        """The run that a file belongs to, by its name; None where the name is of another kind."""
        match = _NAME.fullmatch(path.name)
        return None if match is None else cls(path.parent, match["run"])

    @property
    def events(self) -> Path:
        """The part of the events that is being written."""
        return self._path("_events.jsonl")

    @property
    def metrics_csv(self) -> Path:
        """The metric table, as CSV."""
        return self._path(_SUFFIXES["metrics_csv"])

    @property
    def metrics_json(self) -> Path:
        """The metric table with a summary of each metric, as JSON."""
        return self._path(_SUFFIXES["metrics_json"])

    @property
    def alerts(self) -> Path:
        """The alerts, a JSON array."""
        return self._path(_SUFFIXES["alerts"])

    @property
    def final_report(self) -> Path:
        """The final report: how the run went and ended."""
        return self._path(_SUFFIXES["final_report"])

    @property
    def run(self) -> Path:
        """The description of the run: configuration, versions, devices, attempts, end."""
        return self._path(_SUFFIXES["run"])

    @property
    def checkpoints(self) -> Path:
        """The analyses of the run's checkpoints, one a line."""
        return self._path(_SUFFIXES["checkpoints"])

    @property
    def samples(self) -> Path:
        """Prompts, completions and their rewards, one a line."""
        return self._path(_SUFFIXES["samples"])

    def resources(self, rank: int = 0) -> Path:
        """Measurements of one process and its machine, and its step times."""
        return self._path(f"_resources.rank{rank}.jsonl")

    def crash(self, rank: int = 0) -> Path:
        """Stacks and the last records, written at a crash or a stall of a process."""
        return self._path(_SUFFIXES["crash"] if rank == 0 else f"_crash.rank{rank}.txt")

    @property
    def lock(self) -> Path:
        """Locked (`flock`) by the process that records the run, as long as it lives."""
        return self.folder / f".{self.run_id}.lock"

    def part(self, number: int) -> Path:
        """A rotated part of the events, counted from 1. A compressed part has `.gz` after this name."""
        return self._path(f"_events.{number:04d}.jsonl")

    def parts(self) -> list[Path]:
        """The existing files of events, oldest first; the part that is being written comes last.

        If both the plain and the compressed file of a part exist (after a crash between the two), the plain
        one is listed, because it is whole.
        """
        return [path for _, path in self.numbered_parts()]

    def numbered_parts(self) -> list[tuple[int, Path]]:
        """`parts` with their numbers; the part that is being written has the highest number."""
        return self._listing().numbered_parts

    def last_part(self) -> int:
        """Number of the newest finished part; 0 where there is none."""
        numbers = (number for number, _ in self.numbered_parts() if number != _LIVE)
        return max(numbers, default=0)

    def exist(self) -> bool:
        """Whether anything was recorded under this name."""
        named = (self.events, self.run)  # also in a folder that may not be listed
        return any(os.path.lexists(path) for path in named) or bool(self.existing())

    def existing(self) -> list[Path]:
        """The files of the run that exist: the events first, oldest part first."""
        return self._listing().paths

    def ranks(self) -> list[int]:
        """The ranks that have a resources file."""
        matches = (_NAME.fullmatch(path.name) for path in self.existing())
        return sorted(int(match["rank"]) for match in matches if match and match["rank"])

    def _listing(self) -> "RunListing":
        return list_runs(self.folder, f"{self.run_id}_").get(self, RunListing([], []))

    def _path(self, suffix: str) -> Path:
        return self.folder / f"{self.run_id}{suffix}"


class RunListing(NamedTuple):
    """The files of one run that a folder held when it was listed."""

    numbered_parts: list[tuple[int, Path]]
    """As `RunFiles.numbered_parts`."""
    others: list[Path]
    """The other files; the files of single ranks come last."""

    @property
    def parts(self) -> list[Path]:
        """As `RunFiles.parts`."""
        return [path for _, path in self.numbered_parts]

    @property
    def paths(self) -> list[Path]:
        """As `RunFiles.existing`."""
        return [*self.parts, *self.others]


def list_runs(folder: Path, prefix: str = "") -> dict[RunFiles, RunListing]:
    """The files of each run in `folder`, by the run's name; empty where there is no such folder.

    Args:
        folder: the folder with the files of runs.
        prefix: only files whose names begin with this count.
    """
    found: dict[str, list[re.Match[str]]] = {}
    for name in _names(folder):
        if name.startswith(prefix) and (match := _NAME.fullmatch(name)):
            found.setdefault(match["run"], []).append(match)
    return {RunFiles(folder, run): _listing_of(folder, found[run]) for run in sorted(found)}


def runs_in(folder: Path) -> list[RunFiles]:
    """The runs with files directly in `folder`, by name; empty where there is no such folder."""
    # A run without a logged step has no events.
    return [run for run, files in list_runs(folder).items() if files.parts or run.run in files.others]


def safe_run_id(name: str) -> str:
    """`name` as a legal part of a file name; unchanged if it already is one.

    Separators, control characters and characters that Windows forbids become `-`. A leading dot (a hidden
    file) and surrounding blanks are removed, and the name is cut to 160 bytes. An empty rest becomes `run`.
    """
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    text = "".join("-" if c in '/\\:*?"<>|' or not c.isprintable() else c for c in text)
    text = text.lstrip(" .-").rstrip()
    cut = text.encode()[:_MAX_ID_BYTES].decode(errors="ignore").rstrip()
    return cut or "run"


@contextmanager
def replacing(path: Path, *, durably: bool = False) -> Iterator[IO[bytes]]:
    """Write a temporary file in the folder of `path`, and move it over `path` if the block does not raise.

    A reader sees the old file or the new one, never a part; after an exception the old file remains.

    Args:
        path: the file to replace.
        durably: whether the new file must survive a loss of power before it replaces the old one.
    """
    # Nobody can guess the name and place a link there; `remove_leftovers` finds the owner by it.
    temporary = path.with_name(f".{path.name}.{_process_space()}-{os.getpid()}-{os.urandom(4).hex()}.tmp")
    descriptor = os.open(
        temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666
    )
    try:
        with open(descriptor, "wb") as file:
            yield file
            if durably:
                file.flush()
                os.fsync(descriptor)
        os.replace(temporary, path)
        if durably:
            _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(files: RunFiles) -> None:
    """Remove the temporary files that a killed process left of a run.

    Only the process that holds the run's lock may call it. It cannot see the processes of another machine, so
    it removes their files after a day without writes.
    """
    try:
        names = os.listdir(files.folder)
    except OSError:
        return
    for name in names:
        match = _TEMPORARY.fullmatch(name)
        if match and RunFiles.of(files.folder / match["name"]) == files:
            leftover = files.folder / name
            with suppress(OSError):
                if match["place"] == _process_space():
                    is_left = not _is_alive(int(match["pid"]))
                else:
                    is_left = time.time() - leftover.stat().st_mtime > _LEFT_SECONDS
                if is_left:
                    leftover.unlink()


@cache
def _process_space() -> str:
    """Identifies the scope of process numbers: one boot of one machine, and one container on it."""
    parts = [os.uname().nodename]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return blake2b("\n".join(parts).encode(), digest_size=4).hexdigest()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power, where the disk supports that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _listing_of(folder: Path, matches: list[re.Match[str]]) -> RunListing:
    numbered: dict[int, Path] = {}
    others: list[tuple[int, str]] = []
    for match in matches:
        name = match[0]
        if not match["events"]:
            others.append((_KINDS.get(match["suffix"], len(_KINDS)), name))
            continue
        number = int(match["part"] or _LIVE)
        if number not in numbered or not name.endswith(".gz"):
            numbered[number] = folder / name
    return RunListing(sorted(numbered.items()), [folder / name for _, name in sorted(others)])

"""The files of a run: their names, and finding the runs that a folder holds.

Owns every file name (DESIGN of the project: one prefix a run, one suffix a kind). Invariant: a name
made by `safe_run_id` is a legal file name on every file system, and `runs_in` finds each run again.
"""

import os
import re
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

__all__ = ["RunFiles", "replacing", "runs_in", "safe_run_id"]

_MAX_ID_BYTES = 160  # a file name holds 255 bytes, and suffixes and a number follow
_PART = re.compile(r"(?P<run>.+)_events(?:\.(?P<part>\d{4,}))?\.jsonl(?:\.gz)?")
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
_OF_RANK = re.compile(r"(?P<run>.+)_(?:resources\.rank(?P<rank>\d+)\.jsonl|crash\.rank\d+\.txt)")


class RunFiles(NamedTuple):
    """Where each file of one run lies: `folder/{run_id}_{kind}`."""

    folder: Path
    """The callback's `output_dir`."""
    run_id: str
    """The run's name, safe as a part of a file name."""

    @classmethod
    def of(cls, path: Path) -> "RunFiles | None":
        """The run that a file belongs to, by its name; None where the name is of another kind."""
        if match := _PART.fullmatch(path.name) or _OF_RANK.fullmatch(path.name):
            return cls(path.parent, match["run"])
        for suffix in _SUFFIXES.values():
            if path.name.endswith(suffix) and path.name != suffix:
                return cls(path.parent, path.name.removesuffix(suffix))
        return None

    @property
    def events(self) -> Path:
        """The part of the events that is written to now."""
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
        """How the run went and ended."""
        return self._path(_SUFFIXES["final_report"])

    @property
    def run(self) -> Path:
        """What ran: configuration, versions, devices, attempts, end."""
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
        """What one process measured of itself and its machine, and its step times."""
        return self._path(f"_resources.rank{rank}.jsonl")

    def crash(self, rank: int = 0) -> Path:
        """Stacks and the last records, written at a crash or a stall of a process."""
        return self._path(_SUFFIXES["crash"] if rank == 0 else f"_crash.rank{rank}.txt")

    @property
    def lock(self) -> Path:
        """Locked (`flock`) by the process that records the run, as long as it lives."""
        return self.folder / f".{self.run_id}.lock"

    def part(self, number: int) -> Path:
        """A rotated part of the events; the first is number 1. It may carry `.gz` behind this name."""
        return self._path(f"_events.{number:04d}.jsonl")

    def parts(self) -> list[Path]:
        """The files that hold the events, oldest first, the one written to last; each exists.

        A part of which both the plain and the compressed file exist (a crash between the two) is
        listed once, as the plain one: that one is whole.
        """
        return [path for _, path in self.numbered_parts()]

    def numbered_parts(self) -> list[tuple[int, Path]]:
        """`parts` with their numbers; the one written to has a number above all others."""
        numbered: dict[int, Path] = {}
        for path, match in _event_files(self.folder):
            if match["run"] == self.run_id:
                number = int(match["part"] or sys.maxsize)
                if number not in numbered or path.suffix != ".gz":
                    numbered[number] = path
        return sorted(numbered.items())

    def last_part(self) -> int:
        """Number of the newest finished part; 0 where there is none."""
        matches = [match for _, match in _event_files(self.folder) if match["run"] == self.run_id]
        return max((int(match["part"] or 0) for match in matches), default=0)

    def exist(self) -> bool:
        """Whether anything was recorded under this name."""
        return bool(self.existing())

    def existing(self) -> list[Path]:
        """The files of the run that exist: the events first, oldest part first."""
        others = (self._path(suffix) for suffix in _SUFFIXES.values())
        return [*self.parts(), *(path for path in others if path.exists()), *self._of_ranks()]

    def ranks(self) -> list[int]:
        """The ranks that left a resources file."""
        found = (_OF_RANK.fullmatch(path.name) for path in self._of_ranks())
        return sorted(int(match["rank"]) for match in found if match and match["rank"])

    def _of_ranks(self) -> list[Path]:
        """The files of single ranks, by name."""
        try:
            names = os.listdir(self.folder)
        except OSError:
            return []
        matches = [match for name in names if (match := _OF_RANK.fullmatch(name))]
        return sorted(self.folder / match[0] for match in matches if match["run"] == self.run_id)

    def _path(self, suffix: str) -> Path:
        return self.folder / f"{self.run_id}{suffix}"


def runs_in(folder: Path) -> list[RunFiles]:
    """The runs whose files lie directly in `folder`, by name; empty where there is no such folder."""
    names = {match["run"] for _, match in _event_files(folder)}
    mark = _SUFFIXES["run"]  # a run without a logged step has this file only
    try:
        with os.scandir(folder) as entries:
            names.update(e.name.removesuffix(mark) for e in entries if e.name.endswith(mark))
    except OSError:
        return []
    return [RunFiles(folder, name) for name in sorted(names) if name]


def safe_run_id(name: str) -> str:
    """`name` as a part of a file name: unchanged where it is one already.

    Separators, control characters and what Windows forbids become `-`; a leading dot (a hidden file)
    and surrounding blanks go; more than 160 bytes are cut. An empty rest becomes `run`.
    """
    text = unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
    text = "".join("-" if c in '/\\:*?"<>|' or not c.isprintable() else c for c in text)
    text = text.lstrip(" .-").rstrip()
    cut = text.encode()[:_MAX_ID_BYTES].decode(errors="ignore").rstrip()
    return cut or "run"


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file beside `path` and move it over `path` when the block ends well.

    A reader sees the old file or the new one, never a part; after an exception the old one stands.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            yield file
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _event_files(folder: Path) -> Iterator[tuple[Path, re.Match[str]]]:
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        if match := _PART.fullmatch(name):
            yield folder / name, match

"""TRL's own tables of completions (`log_completions=True`) as samples.

Invariant: a table is read in small batches; a damaged table does not affect the others.
"""

import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec

from rldk.errors import MissingDependencyError
from rldk.runs.line_reader import BadLine
from rldk.runs.samples import OnBad, Sample

__all__ = ["TABLE", "Table", "reward_functions", "tables_of"]

TABLE = re.compile(r"completions_(\d{1,12})\.parquet")
"""TRL's name for the table of a step."""
BATCH = 64
"""Number of samples in a batch; a sample may have megabytes."""

_CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})")
_REWARD = re.compile(r"(?:train/)?(?:eval_)?rewards/(.+)/mean")
_FIXED = ("step", "prompt", "completion", "advantage")


class Table:
    """The table of a step.

    Args:
        path: the file.
        functions: the names of the reward functions; None: every column of floats is a reward function.
    """

    def __init__(self, path: Path, functions: Collection[str] | None = None) -> None:
        self.path = path
        """The file."""
        self._functions = functions

    def read(self, on_bad: OnBad) -> Iterator[Sample]:
        """Its samples, as `SampleSource.read`."""
        number = 0
        try:
            with _opened(self.path) as table:
                rewards = self._rewards(table.schema_arrow)
                for row in (row for batch in table.iter_batches(BATCH) for row in batch.to_pylist()):
                    number += 1
                    if isinstance(sample := _sample(row, rewards), Sample):
                        yield sample
                    else:
                        on_bad(BadLine(self.path, number, sample))
        except MissingDependencyError:
            raise
        except Exception as error:  # pyarrow's exceptions have no common base
            on_bad(BadLine(self.path, number + 1, _reason(error)))

    def count(self, on_bad: OnBad) -> int:
        """The number of rows, from the metadata of the file."""
        try:
            with _opened(self.path) as table:
                return int(table.metadata.num_rows)
        except MissingDependencyError:
            raise
        except Exception as error:
            on_bad(BadLine(self.path, 1, _reason(error)))
            return 0

    def _rewards(self, schema: Any) -> list[str]:
        others = [field for field in schema if field.name not in _FIXED]
        if self._functions is not None:
            return [field.name for field in others if field.name in self._functions]
        return [field.name for field in others if str(field.type) in ("double", "float", "halffloat")]


def tables_of(path: Path) -> list[Path]:
    """TRL's tables of completions that belong to a log, in the order of their steps.

    Args:
        path: a table, the folder of the tables, the trainer's `output_dir`, a log in it, or a checkpoint
            (whose tables end with its step).
    """
    if TABLE.fullmatch(path.name) and path.is_file():
        return [path]
    folder = path if path.is_dir() else path.parent
    if own := _tables_in(folder) if folder == path else []:
        return own
    if checkpoint := _CHECKPOINT.fullmatch(folder.name):
        return _tables_in(folder.parent / "completions", int(checkpoint[1]))
    return _tables_in(folder / "completions")


def reward_functions(keys: Collection[str]) -> set[str] | None:
    """The reward functions whose means a trainer logged; None if it logged none."""
    return {match[1] for key in keys if (match := _REWARD.fullmatch(key))} or None


def _tables_in(folder: Path, last_step: int | None = None) -> list[Path]:
    try:
        found = [(int(match[1]), path) for path in folder.iterdir() if (match := TABLE.fullmatch(path.name))]
    except OSError:  # there is no such folder, or rldk may not read it
        return []
    return [path for step, path in sorted(found) if last_step is None or step <= last_step]


def _opened(path: Path) -> Any:
    """The table, after a check for TRL's columns.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        OSError, ValueError: the file is no such table.
    """
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingDependencyError("Reading completions", "pyarrow") from None
    table = ParquetFile(path)
    if missing := [name for name in _FIXED[:3] if name not in table.schema_arrow.names]:
        table.close()
        raise ValueError(f"no table of completions: it has no column {missing[0]!r}")
    return table


def _sample(row: dict[str, Any], rewards: list[str]) -> Sample | str:
    """The sample of a row, or the problem with it."""
    values = {name: row.pop(name) for name in rewards}
    fixed = {name: row.pop(name) for name in _FIXED if name in row}
    try:
        return msgspec.convert({**fixed, "rewards": values, "extra": row}, Sample)
    except msgspec.ValidationError as error:
        return f"no sample: {error}"


def _reason(error: Exception) -> str:
    return f"unreadable table: {error or type(error).__name__}".splitlines()[0]

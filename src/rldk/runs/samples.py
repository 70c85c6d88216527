"""What the policy was asked, what it wrote, and what that was worth: the samples behind a reward.

Invariant: each sample of the tables comes once, in the order of the steps; a table that cannot be read goes
to the run's bad lines. A table is read piece by piece, and only when it is wanted.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from rldk.errors import MissingDependencyError
from rldk.runs.lines import BadLine

__all__ = ["Sample", "Samples", "Text", "reward_functions", "tables_of"]

Text = str | list[dict[str, Any]]
"""Plain text, or the messages of a conversation: `[{"role": "user", "content": "..."}]`."""

TABLE = re.compile(r"completions_(\d{1,12})\.parquet")
"""TRL's name for the table of a step."""
BATCH = 64
"""Samples that are read at once; one may hold megabytes."""

_CHECKPOINT = re.compile(r"checkpoint-(\d{1,12})")
_REWARD = re.compile(r"(?:train/)?(?:eval_)?rewards/(.+)/mean")
_FIXED = ("step", "prompt", "completion", "advantage")


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One completion of the policy, as the trainer scored it."""

    step: int
    """`global_step` at which it was logged."""
    prompt: Text
    """What the policy was asked."""
    completion: Text
    """What it wrote."""
    rewards: dict[str, float | None]
    """The value of each reward function, before weights; None where it gave none, or NaN."""
    advantage: float | None = None
    """What the loss was weighted with; None where the trainer has none."""
    extra: dict[str, Any] = {}
    """Further columns of the trainer's table, such as those of TRL's `log_extra`."""


class Samples:
    """The samples of a run: iterate as often as you like; `len` opens the tables, and reads none of them.

    Both raise MissingDependencyError where there are tables and pyarrow is not installed.

    Args:
        tables: TRL's tables of completions, in order.
        functions: the names of the reward functions; None where nothing tells, then every column of
            floats is taken for one.
        new_pass: gives what takes the tables that cannot be read.
    """

    def __init__(
        self,
        tables: Sequence[Path],
        functions: Collection[str] | None,
        new_pass: Callable[[], Callable[[BadLine], None]],
    ) -> None:
        self.tables = tables
        """The files."""
        self._functions = functions
        self._new_pass = new_pass

    def __iter__(self) -> Iterator[Sample]:
        on_bad = self._new_pass()
        for path in self.tables:
            number = 0
            try:
                with _opened(path) as table:
                    rewards = self._rewards(table.schema_arrow)
                    for row in (row for batch in table.iter_batches(BATCH) for row in batch.to_pylist()):
                        number += 1
                        if isinstance(sample := _sample(row, rewards), Sample):
                            yield sample
                        else:
                            on_bad(BadLine(path, number, sample))
            except MissingDependencyError:
                raise
            except Exception as error:  # pyarrow's have no base in common
                on_bad(BadLine(path, number + 1, _reason(error)))

    def __len__(self) -> int:
        on_bad, count = self._new_pass(), 0
        for path in self.tables:
            try:
                with _opened(path) as table:
                    count += table.metadata.num_rows
            except MissingDependencyError:
                raise
            except Exception as error:
                on_bad(BadLine(path, 1, _reason(error)))
        return count

    def _rewards(self, schema: Any) -> list[str]:
        others = [field for field in schema if field.name not in _FIXED]
        if self._functions is not None:
            return [field.name for field in others if field.name in self._functions]
        return [field.name for field in others if str(field.type) in ("double", "float", "halffloat")]


def tables_of(path: Path) -> list[Path]:
    """TRL's tables of completions that belong to a log, in the order of their steps.

    Args:
        path: a table, the folder that holds them, or what the trainer wrote beside that folder: its
            `output_dir`, a log in it, a checkpoint (whose tables end with its step).
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
    """The reward functions whose means a trainer logged; None where it logged none."""
    return {match[1] for key in keys if (match := _REWARD.fullmatch(key))} or None


def _tables_in(folder: Path, last_step: int | None = None) -> list[Path]:
    try:
        found = [(int(match[1]), path) for path in folder.iterdir() if (match := TABLE.fullmatch(path.name))]
    except OSError:  # there is no such folder, or it is nobody's business
        return []
    return [path for step, path in sorted(found) if last_step is None or step <= last_step]


def _opened(path: Path) -> Any:
    """The table, whose columns are those of TRL.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        OSError, ValueError: this is no such table.
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
    """The sample of a row, or what is wrong with it."""
    values = {name: row.pop(name) for name in rewards}
    fixed = {name: row.pop(name) for name in _FIXED if name in row}
    try:
        return msgspec.convert({**fixed, "rewards": values, "extra": row}, Sample)
    except msgspec.ValidationError as error:
        return f"no sample: {error}"


def _reason(error: Exception) -> str:
    return f"the table cannot be read: {error or type(error).__name__}".splitlines()[0]

"""Reads text tables with a header: CSV, TSV, Stable-Baselines3's progress.csv, exports of W&B and rldk.

Invariant: an empty cell is no value. `on_bad` gets a row with the wrong number of cells, so that no value is
read under another column. Each line is a row, so that a stray quote costs one row.
"""

import csv
import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row, text_lines
from rldk.runs.adapters.fields import STEP_KEYS, Rows, has_metric
from rldk.runs.adapters.log_values import is_number
from rldk.runs.line_reader import BadLine

__all__ = ["ADAPTER"]

DELIMITERS = (",", "\t", ";")
NO_LOG = "No log"
"""What a notebook's table holds where nothing was logged."""
JUDGED = 50
"""Rows that show whether the file is a table of numbers."""

_METRIC = re.compile(
    r"step|loss|reward|rew_mean|epoch|learning_rate|\blr\b|\bkl\b|entropy|accuracy|grad_norm|\biter"
)
_NOTEBOOK = {"Training Loss": "loss", "Validation Loss": "eval_loss"}
"""The titles of the tables that transformers shows in a notebook."""
_QUOTED = re.compile(r'"[^"]*"')


def _cells(line: str, delimiter: str) -> list[str]:
    """The cells of a line.

    Raises:
        csv.Error: a cell is too long for the csv module.
    """
    return next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])


def _header(line: str) -> tuple[str, list[str]]:
    """The delimiter, and the names of the columns.

    Raises:
        csv.Error: a name is too long for the csv module.
    """
    bare = _QUOTED.sub("", line)
    delimiter = max(DELIMITERS, key=bare.count)
    return delimiter, [name.strip() for name in _cells(line, delimiter)]


def _columns(header: list[str]) -> list[str]:
    """The name under which each column is recorded; empty for a column that is not."""
    names = [_NOTEBOOK.get(name, name.replace(" / ", "/")) for name in _without_run(header)]
    plain = set(names)
    seen: dict[str, int] = {}
    columns = []
    for name in names:
        # W&B exports each point of a plot with its minimum and its maximum.
        if name.endswith(("__MIN", "__MAX")) and name[:-5] in plain:
            columns.append("")
            continue
        seen[name] = seen.get(name, 0) + 1
        columns.append(name if seen[name] == 1 or not name else f"{name}#{seen[name]}")
    return columns


def _without_run(header: list[str]) -> list[str]:
    """The names without `run - `, the prefix in an export of W&B; with several runs, names stay unchanged."""
    split = [name.rpartition(" - ") for name in header]
    runs = {run for run, dash, _ in split if dash}
    bare = sum(not dash for _, dash, _ in split)
    return [name for _, _, name in split] if len(runs) == 1 and bare <= 1 else header


def _fits(cells: list[str], columns: list[str]) -> bool:
    """Whether a row has a cell for each column; further empty cells are allowed."""
    return len(cells) >= len(columns) and not any(map(str.strip, cells[len(columns) :]))


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    lines = text_lines(path, on_bad)
    first = next(lines, None)
    if first is None:
        return
    try:
        delimiter, header = _header(first[1])
    except csv.Error as error:
        on_bad(BadLine(path, first[0], f"no header of a table: {error}"))
        return
    columns = _columns(header)
    rows = Rows()
    for number, line in lines:
        try:
            cells = _cells(line, delimiter)
        except csv.Error as error:
            on_bad(BadLine(path, number, f"no row of a table: {error}"))
            continue
        if not _fits(cells, columns):
            on_bad(BadLine(path, number, f"{len(cells)} cells, where the header has {len(columns)}"))
            continue
        pairs = zip(columns, map(str.strip, cells), strict=False)
        row = rows.row({name: cell for name, cell in pairs if name and cell and cell != NO_LOG})
        if has_metric(row.values) or row.phase == "summary":
            yield from _by_phase(row, header)
        else:
            on_bad(BadLine(path, number, "no metric in it"))


def _by_phase(row: Row, header: list[str]) -> Iterator[Row]:
    """A row of a notebook's table as a train record and an evaluation; any other as it is."""
    if header and "Validation Loss" in header and "loss" in row.values and "eval_loss" in row.values:
        train = {name: value for name, value in row.values.items() if name != "eval_loss"}
        yield row._replace(values=train, phase="train")
        yield row._replace(values={"eval_loss": row.values["eval_loss"]}, phase="eval")
    else:
        yield row


def _confidence(probe: Probe) -> float:
    lines = probe.lines
    if not lines or lines[0].lstrip().startswith(("{", "[")):
        return 0
    try:
        delimiter, header = _header(lines[0])
        # The last line may be cut.
        last = len(lines) - 1 if len(lines) > 2 else len(lines)
        table = [_cells(line, delimiter) for line in islice(lines, 1, min(last, JUDGED + 1))]
    except csv.Error:
        return 0
    if len(header) < 2 or any(map(is_number, header)) or not any(map(_is_metric_name, _columns(header))):
        return 0
    if not table:
        return 0.85 if probe.name.endswith((".csv", ".tsv")) else 0
    fitting = sum(_fits(cells, header) for cells in table)
    filled = [cell for cells in table for cell in cells if cell.strip()]
    numbers = sum(map(is_number, filled))
    return 0.85 if fitting >= 0.9 * len(table) and 2 * numbers > len(filled) else 0


def _is_metric_name(name: str) -> bool:
    return name in STEP_KEYS or _METRIC.search(name.lower()) is not None


ADAPTER = Adapter(
    name="csv",
    what="CSV or TSV with a header: Stable-Baselines3's progress.csv, exports of W&B, or any",
    confidence=_confidence,
    rows=_rows,
)

"""Reads trackio's project database: the run that logged last.

Invariant: it never writes to the database, though SQLite keeps an index of a live one in `-shm`. `on_bad`
gets each unreadable record.
"""

import json
import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row
from rldk.runs.adapters.log_values import seconds, whole_number
from rldk.runs.adapters.tracker_rows import TrackerCall, logged_rows, without_media
from rldk.runs.line_reader import BadLine

__all__ = ["ADAPTER"]

NEEDED = {"id", "timestamp", "run_name", "step", "metrics"}
"""Columns of the table; older versions have no `run_id`."""
# Not the run that began last: a resumed run is the newest again.
_NEWEST_RUN = """
SELECT id, step, timestamp, metrics FROM metrics
WHERE {run} = (SELECT {run} FROM metrics ORDER BY timestamp DESC, id DESC LIMIT 1)
ORDER BY id
"""
_SPELLED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    path.stat()  # sqlite says of a missing file no more than that it cannot open it
    yield from logged_rows(path, lambda refuse: _records(path, refuse), {}, on_bad)


def _records(path: Path, on_bad: OnBad) -> Iterator[TrackerCall]:
    number = 0
    try:
        with closing(_connect(path, on_bad)) as database:
            columns = _columns(database)
            if not columns >= NEEDED:
                on_bad(BadLine(path, 1, "the database holds no metrics of trackio"))
                return
            run = "run_id" if "run_id" in columns else "run_name"
            for number, step, timestamp, metrics in database.execute(_NEWEST_RUN.format(run=run)):
                try:
                    values = {key: _decoded(value) for key, value in json.loads(metrics).items()}
                except (AttributeError, TypeError, ValueError, RecursionError) as error:
                    on_bad(BadLine(path, number, f"the metrics of this record cannot be read: {error}"))
                    continue
                yield TrackerCall(number, without_media(values), whole_number(step), seconds(timestamp))
    except (sqlite3.Error, OSError) as error:
        on_bad(BadLine(path, number + 1, f"the database is damaged, or in use: {error}"))


def _connect(path: Path, on_bad: OnBad) -> sqlite3.Connection:
    """A connection that only reads; it includes newer records in the write-ahead log."""
    uri = path.absolute().as_uri()
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        database = sqlite3.connect(f"{uri}?mode=ro", uri=True)
        try:
            database.execute("SELECT 1 FROM sqlite_master").fetchone()
            return database
        except sqlite3.OperationalError as error:  # SQLite wants to write an index of the log to the folder
            database.close()
            on_bad(BadLine(path, 1, f"its write-ahead log cannot be read, newer records are there: {error}"))
    return sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True)


def _columns(database: sqlite3.Connection) -> set[str]:
    """The columns of the metrics table; empty if it is a view, which may compute without end."""
    found = database.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'metrics'")
    if not found.fetchone():
        return set()
    return {name for _, name, *_ in database.execute("PRAGMA table_info(metrics)")}


def _decoded(value: Any) -> Any:
    """A value in which NaN and infinities, which trackio writes as text, are numbers."""
    if isinstance(value, dict):
        return {key: _decoded(item) for key, item in value.items()}
    return _SPELLED.get(value, value) if isinstance(value, str) else value


def _confidence(probe: Probe) -> float:
    if probe.is_dir or not probe.head.startswith(b"SQLite format 3\0"):
        return 0.0
    try:
        ignored: list[BadLine] = []
        with closing(_connect(probe.path, ignored.append)) as database:
            return 0.95 if _columns(database) >= NEEDED else 0.0
    except (sqlite3.Error, OSError):
        return 0.0


ADAPTER = Adapter(
    name="trackio",
    what="trackio's project database (SQLite); of several runs in it the one that logged last",
    confidence=_confidence,
    rows=_rows,
)

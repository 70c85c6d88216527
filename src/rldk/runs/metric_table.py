"""The metric table of a run: one row a record, one column a metric; as CSV, JSON, Parquet or JSONL.

Invariant: every record and every metric of the run is in the table, but for rare metrics of a run that has
thousands; work and memory do not grow with the square of the run. A metric that a record lacks is an empty
cell, never 0.
"""

import csv
import io
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import IO, Any

import msgspec

from rldk._log import warn
from rldk.errors import MissingDependencyError, RLDKError
from rldk.runs.metric_stats import MetricStats
from rldk.schema.event import PHASES, Event, Number, Phase, encode

__all__ = ["WRITERS", "Survey", "write_csv", "write_json", "write_jsonl", "write_parquet"]

_FIXED = ("step", "phase", "wall_time")
_MAX_INT64 = (1 << 63) - 1
MAX_PARQUET_COLUMNS = 50_000
"""Most columns of a Parquet table; the file needs hundreds of bytes to describe each."""
MAX_RARE_COLUMNS = 1_000
"""Metrics above which the rare ones have no column: a loop may log a new name at every step."""
RARE = 100
"""A metric is rare that fewer than one in so many records of each phase hold."""


class Survey:
    """Collects in a single pass over the events: columns, counts, steps, statistics."""

    def __init__(self) -> None:
        self.records = 0
        """Number of events."""
        self.first_step: int | None = None
        """The lowest train step."""
        self.last_step: int | None = None
        """The highest train step."""
        self._columns: dict[str, str] = {}  # and the metric that each is of
        self._counts: dict[Phase, int] = dict.fromkeys(PHASES, 0)
        self._by_phase: dict[Phase, dict[str, MetricStats]] = {phase: {} for phase in PHASES}

    @classmethod
    def of(cls, events: Iterable[Event]) -> "Survey":
        """The survey of `events`."""
        survey = cls()
        for event in events:
            survey.add(event)
        return survey

    def add(self, event: Event) -> None:
        """Add an event."""
        self.records += 1
        self._counts[event.phase] += 1
        if event.phase == "train":
            step = event.step
            self.first_step = step if self.first_step is None else min(self.first_step, step)
            self.last_step = step if self.last_step is None else max(self.last_step, step)
        found = self._by_phase[event.phase]
        for name, value in event.metrics.items():
            if name not in found:
                found[name] = MetricStats()
                self._columns[_column(name)] = name
            found[name].add(value)

    @property
    def columns(self) -> list[str]:
        """The columns of the metrics, in order of appearance."""
        if len(self._columns) <= MAX_RARE_COLUMNS:
            return list(self._columns)
        return [column for column, name in self._columns.items() if not self._is_rare(name)]

    def _is_rare(self, metric: str) -> bool:
        summaries = ((self._counts[phase], found.get(metric)) for phase, found in self._by_phase.items())
        return all(found is None or found.values * RARE < count for count, found in summaries)

    def warn_of_rare(self) -> None:
        """Say how many metrics have no column, if any."""
        if rare := len(self._columns) - len(self.columns):
            warn(
                "rldk: the table leaves out %s metrics that fewer than 1 in %d records hold; "
                "rldk export -f json has them",
                f"{rare:,}",
                RARE,
            )

    @property
    def summaries(self) -> dict[str, MetricStats]:
        """The statistics of each metric over the train records of the run.

        If only evaluations or the closing summary have a metric, they give its statistics; phases never mix.
        """
        chosen: dict[str, MetricStats] = {}
        for found in self._by_phase.values():
            for name, summary in found.items():
                chosen.setdefault(name, summary)
        return chosen


def write_csv(events: Iterable[Event], file: IO[bytes], survey: Survey | None = None) -> None:
    """Write a header, then a row a record: step, phase, wall_time, and the metrics in order of appearance.

    Values that are not finite are `nan`, `inf` or `-inf`; None and missing metrics are empty cells.
    It iterates over `events` twice, or once with a given `survey`.
    """
    survey = survey or Survey.of(events)
    names = [*_FIXED, *survey.columns]
    text = io.TextIOWrapper(file, encoding="utf-8", newline="")
    try:
        table = csv.writer(text, lineterminator="\n")
        table.writerow(names)
        for row in _rows(events, survey.records):
            table.writerow([row.get(name) for name in names])
    finally:
        text.detach()  # flushes, and leaves `file` open
    survey.warn_of_rare()


def write_json(events: Iterable[Event], file: IO[bytes]) -> Survey:
    """Write `{"steps": [row, ...], "summary": {metric: statistics}}`, strict JSON, row by row.

    Returns the survey of the events.
    """
    survey = Survey()
    file.write(b'{"steps": [')
    separator = b"\n"
    for event in events:
        survey.add(event)
        file.write(separator + msgspec.json.encode(_row(event)))
        separator = b",\n"
    summary = {name: found.to_dict() for name, found in survey.summaries.items()}
    file.write(b'\n], "summary": ' + msgspec.json.encode(summary) + b"}\n")
    return survey


def write_jsonl(events: Iterable[Event], file: IO[bytes]) -> None:
    """Write the Events, one a line: a single file even if the run has parts, resumes or torn lines."""
    for event in events:
        file.write(encode(event) + b"\n")


def write_parquet(events: Iterable[Event], file: IO[bytes]) -> None:
    """Write the table with typed columns: step int64, phase string, all others float64.

    Raises:
        MissingDependencyError: pyarrow is not installed.
        RLDKError: a step is beyond int64, or there are more than `MAX_PARQUET_COLUMNS` columns.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise MissingDependencyError("The Parquet export", "pyarrow") from None
    survey = Survey.of(events)
    if len(survey.columns) > MAX_PARQUET_COLUMNS:
        raise RLDKError(
            f"{len(survey.columns):,} metrics are too many columns for Parquet (at most "
            f"{MAX_PARQUET_COLUMNS:,}). Export all of them as events with: -f jsonl"
        )
    kinds = {"step": pa.int64(), "phase": pa.string()}
    values: dict[str, list[Any]] = {name: [] for name in (*_FIXED, *survey.columns)}
    for number, row in enumerate(_rows(events, survey.records), 1):
        if row["step"] > _MAX_INT64:
            raise RLDKError(
                f"record {number:,} has the step {row['step']}, which Parquet's 64-bit integers cannot hold. "
                "Export it with: -f csv, -f json or -f jsonl"
            )
        for name, cells in values.items():
            cells.append(row.get(name) if name in kinds else _float(row.get(name)))
    arrays = {name: pa.array(cells, kinds.get(name, pa.float64())) for name, cells in values.items()}
    parquet.write_table(pa.table(arrays), file)
    survey.warn_of_rare()


WRITERS: dict[str, Callable[[Iterable[Event], IO[bytes]], object]] = {
    "csv": write_csv,
    "json": write_json,
    "jsonl": write_jsonl,
    "parquet": write_parquet,
}
"""The writer of each export format."""


def _rows(events: Iterable[Event], count: int) -> Iterator[dict[str, Any]]:
    """The rows of the first `count` records: a live run may have grown since the survey."""
    for event in islice(events, count):
        yield _row(event)


def _row(event: Event) -> dict[str, Number | str | None]:
    values: dict[str, Number | None] = {**event.metrics, **dict(event.nonfinite())}
    return {
        "step": event.step,
        "phase": event.phase,
        "wall_time": event.wall_time,
        **{_column(name): value for name, value in values.items()},
    }


def _float(value: Any) -> float | None:
    """As float64; pyarrow refuses integers that a float64 would round."""
    try:
        return None if value is None else float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _column(metric: str) -> str:
    """The name of the metric, with a prefix if it equals the name of a fixed column."""
    return f"metrics/{metric}" if metric in _FIXED else metric

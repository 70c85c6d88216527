"""Logs of other tools as runs: the rows of an adapter become Events.

Invariant: every number of every row is in an Event, under its canonical name if the dialect knows the key.
Facts that the log lacks (times, seeds, sizes) are None. If it lacks steps, rldk counts the train records and
adds a note.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from rldk.errors import RLDKError
from rldk.health import RunContext
from rldk.metrics.dialects import Dialect, phase_of
from rldk.metrics.dialects.detect import detect
from rldk.metrics.values import measure
from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row
from rldk.runs.adapters.progress_bar import bar_of
from rldk.runs.adapters.trainer_keys import SUMMARY_KEYS, trainer_key
from rldk.runs.excerpt import FIRST, FirstRows, begins_late
from rldk.runs.line_reader import BadLine
from rldk.runs.run import Run, State
from rldk.runs.sample_tables import Table, reward_functions, tables_of
from rldk.runs.samples import Samples
from rldk.schema.event import DataSlice, Event, ModelInfo, Phase, Rng
from rldk.schema.files import safe_run_id

__all__ = ["COUNTED", "ForeignRun"]

COUNTED = "step:counted"
"""Note of an Event from a log without steps: its step is the number of the train record."""
SAMPLE = 200
"""Number of rows whose keys determine the dialect and the algorithm."""
PLAIN = {f"train/{key}": key for key in ("loss", *SUMMARY_KEYS)}
"""Keys of trackers that determine the phase, with the trainer's spelling."""
CLOSING = (*SUMMARY_KEYS, *(f"train/{key}" for key in SUMMARY_KEYS))
"""The keys of the trainer's closing summary, in the spelling of the trainer and of trackers."""
CLOSING_ALONE = {"train_runtime", "train/train_runtime", "train_loss", "train/train_loss"}
"""Keys that occur only in a closing summary; each summary has at least one of them."""
MAX_KEYS = 5_000
"""Most keys to look up: a log has tens, and rldk looks for each in every dialect."""


class ForeignRun(Run):
    """A run that another tool logged. Iterate over it as over any `Run`; each pass reads the log again.

    Args:
        path: the log.
        adapter: reads the log.
        mapping: the user's own names, from a key of the log to a canonical name; they override the dialect.
    """

    def __init__(self, path: Path, adapter: Adapter, mapping: Mapping[str, str] | None = None) -> None:
        super().__init__(path, safe_run_id(path.name.partition(".")[0]))
        self.adapter = adapter
        self._has_summary: bool | None = None  # in the newest whole pass
        self._mapping = dict(mapping or {})

    @property
    def format(self) -> str:
        """The adapter's name."""
        return self.adapter.name

    @property
    def dialect(self) -> str | None:
        """The dialect of the keys; None if no dialect knows any of them."""
        return self._detected[0].name if self._detected[0] else None

    @property
    def algorithm(self) -> str | None:
        """The algorithm, if the keys determine it."""
        return self._detected[1]

    @property
    def state(self) -> State:
        """`ended` if the log has the trainer's closing summary, else `unfinished`.

        It uses the newest complete pass over the log, and makes a pass if there was none.
        """
        if self._has_summary is None:
            for _ in self:
                pass
        return "ended" if self._has_summary else "unfinished"

    def context(self, *, algorithm: str | None = None) -> RunContext:
        """The context for rules, from the keys and the first records of the log."""
        context = super().context(algorithm=algorithm)
        return msgspec.structs.replace(context, is_excerpt=self._is_excerpt)

    @cached_property
    def has_steps(self) -> bool:
        """Whether the log itself holds steps; else rldk counts its train records."""
        first = next(iter(self), None)
        return first is None or COUNTED not in first.notes

    @cached_property
    def _is_excerpt(self) -> bool:
        rows = FirstRows()
        for event in islice((event for event in self if event.model_info.phase == "train"), FIRST):
            step = None if COUNTED in event.notes else event.step
            rows.add(step, event.metrics.get("epoch"), event.metrics.get("lr"))
        if self.path.is_dir() or None not in rows.steps:
            return begins_late(rows, ())
        return begins_late(rows, filter(None, map(bar_of, Probe(self.path).lines)))

    @property
    def checkpoint_folder(self) -> Path:
        """The folder of the log; if that is a checkpoint, its parent."""
        folder = self.path if self.path.is_dir() else self.path.parent
        return folder.parent if folder.name.startswith("checkpoint-") else folder

    def __iter__(self) -> Iterator[Event]:
        """The events of the log."""
        name = self._namer()
        clock = _Clock()
        train_records = 0
        step = 0
        has_summary = False
        for row in _split_rows(self._rows(self._bad.new_pass())):
            phase = row.phase or _phase_of(row.values)
            metrics, notes = measure(row.values, name)
            if not (metrics or notes):
                continue
            train_records += phase == "train"
            has_summary = has_summary or phase == "summary"
            counted = row.step is None
            if row.step is not None:
                step = row.step
            elif phase == "train":
                step = train_records
            yield Event(
                step=max(step, 0),
                wall_time=clock.since_begin(row.wall_time),
                metrics=metrics,
                rng=Rng(),
                data_slice=DataSlice(),
                model_info=ModelInfo(run_id=self.run_id, phase=phase),
                notes=(*notes, COUNTED) if counted else tuple(notes),
            )
        self._has_summary = has_summary

    def follow(self, *, poll: float = 0.5) -> Iterator[Event]:
        """The existing events: another tool's log does not show whether the run is still running."""
        del poll
        return iter(self)

    def samples(self) -> Samples:
        """The samples of TRL's tables of completions in this folder, or in the folder of this log."""
        tables = tables_of(self.path)
        functions = reward_functions(self._sample) if tables else None
        return Samples([Table(path, functions) for path in tables], self._bad.new_pass)

    def _of_phase(self, phase: Phase) -> Iterator[Event]:
        for event in self:
            if event.phase == phase:
                event.metrics.update(event.nonfinite())
                yield event

    def last(self, phase: Phase | None = None) -> Event | None:
        """The newest event (of `phase`); it reads the whole log."""
        last = None
        for event in self:
            if phase in (None, event.phase):
                last = event
        return last

    def _rows(self, on_bad: OnBad) -> Iterator[Row]:
        """The adapter's rows.

        Raises:
            RLDKError: the adapter failed, which may be somebody else's.
            OSError: the log cannot be read.
        """
        try:
            yield from self.adapter.rows(self.path, on_bad)
        except (OSError, RLDKError):
            raise
        except Exception as error:
            text = f"the format {self.format} failed on {self.path}: {type(error).__name__}: {error}"
            raise RLDKError(text) from error

    @cached_property
    def _sample(self) -> set[str]:
        keys: set[str] = set()
        ignored: list[BadLine] = []
        for row in islice(self._rows(ignored.append), SAMPLE):
            keys.update(measure(_with_numbers(row.values), _unchanged)[0])
            if len(keys) >= MAX_KEYS:
                break
        return keys

    @cached_property
    def _detected(self) -> tuple[Dialect | None, str | None]:
        return detect(self._sample, self.adapter.dialect)

    def _namer(self) -> Callable[[str], str]:
        # If the user gave a name to another key, the dialect must not use it again.
        taken = {self._mapping[key] for key in self._sample if key in self._mapping}
        names = {key: self._canonical(key) for key in self._sample}
        names = {key: key if name in taken else name for key, name in names.items()} | self._mapping
        return lambda key: names.get(key) or self._canonical(key)

    def _canonical(self, key: str) -> str:
        """The dialect's name; trackers write `train/x` and `eval/x` for the trainer's `x` and `eval_x`."""
        dialect, algorithm = self._detected
        if dialect is None:
            return key
        if not dialect.knows(key, algorithm):
            for prefix, plain in (("train/", ""), ("eval/", "eval_")):
                if key.startswith(prefix) and dialect.knows(key.removeprefix(prefix), algorithm):
                    return dialect.canonical(plain + key.removeprefix(prefix), algorithm)
        return dialect.canonical(key, algorithm)


def _split_rows(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, with numeric texts as numbers; it splits a row of a train record and the closing summary.

    A table merged by step has such a row: all common keys of the train records before it, and further keys
    of the summary. The further keys matter, because some trainers log `train_runtime` in each record.
    """
    common: set[str] | None = None
    for row in rows:
        values = _with_numbers(row.values)
        closing = {key: values[key] for key in CLOSING if _is_held(values, key) and key not in (common or ())}
        is_closing = not CLOSING_ALONE.isdisjoint(closing)
        if is_closing and row.phase is None and _is_train_record(values, common or set()):
            train = {key: value for key, value in values.items() if key not in closing}
            yield row._replace(values=train, phase="train")
            yield row._replace(values=closing, phase="summary")
            continue
        if (row.phase or _phase_of(values)) == "train":
            common = {key for key in (values if common is None else common) if _is_held(values, key)}
        yield row._replace(values=values)


def _is_train_record(values: Mapping[str, Any], common: set[str]) -> bool:
    """Whether it has all common keys of the train records, if one of these occurs in no other phase."""
    own = any(trainer_key(key)[1] == "train" for key in common)
    return own and all(_is_held(values, key) for key in common)


def _phase_of(values: Mapping[str, Any]) -> Phase:
    """The phase, from the keys with a value. A NaN loss counts as a value: the record is a train record."""
    keys = {PLAIN.get(key, key): value for key, value in values.items() if value is not None}
    return phase_of({key: value for key, value in keys.items() if key == "loss" or _is_held(keys, key)})


def _is_held(values: Mapping[str, Any], key: str) -> bool:
    """Whether there is a value: a merged table has NaN or nothing if a record lacks the key."""
    value = values.get(key)
    return value is not None and value == value  # noqa: PLR0124 - NaN is no value


class _Clock:
    """Converts the times of rows to seconds since the first: some logs have epoch times."""

    def __init__(self) -> None:
        self._begin: float | None = None

    def since_begin(self, wall_time: float | None) -> float | None:
        if wall_time is None or not math.isfinite(wall_time):
            return None
        if self._begin is None:
            # A relative time is smaller than any date after 2001.
            self._begin = wall_time if wall_time > 1e9 else 0.0
        return wall_time - self._begin


def _with_numbers(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """`values` with numeric texts as numbers: printed logs and CSV quote them."""
    if not any(isinstance(value, str) for value in values.values()):
        return values
    return {key: _number(value) if isinstance(value, str) else value for key, value in values.items()}


def _number(text: str) -> float | str:
    if "_" in text:  # Python reads 2024_01 as a number
        return text
    try:
        return float(text)
    except ValueError:
        return text


def _unchanged(key: str) -> str:
    return key

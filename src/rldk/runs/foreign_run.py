"""Other people's logs as runs: the rows of an adapter become Events.

Invariant: every number of every row is in an Event, under its canonical name where its dialect knows the
key; what the log does not say (times, seeds, sizes) is None, and a step that it does not say is counted
and noted.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from rldk.metrics.dialects import Dialect, phase_of
from rldk.metrics.dialects.detect import detect
from rldk.metrics.values import measure
from rldk.runs.adapters.base import Adapter, Row
from rldk.runs.line_reader import BadLine
from rldk.runs.run import Run, State
from rldk.runs.sample_tables import Table, reward_functions, tables_of
from rldk.runs.samples import Samples
from rldk.schema.event import DataSlice, Event, ModelInfo, Phase, Rng
from rldk.schema.files import RunFiles, safe_run_id

__all__ = ["COUNTED", "ForeignRun"]

COUNTED = "step:counted"
"""Note of an Event whose log names no step: its step is the number of the train record."""
SAMPLE = 200
"""Rows whose keys tell the dialect and the algorithm."""
MAX_KEYS = 5_000
"""Keys that are enough for it: a log has tens, and each is looked for in every dialect."""


class ForeignRun(Run):
    """A run that another tool logged. Iterate over it as over any `Run`; each time the log is read anew.

    Args:
        path: the log.
        adapter: what reads it.
        mapping: the user's own names: log's key to canonical name; they win over the dialect.
    """

    def __init__(self, path: Path, adapter: Adapter, mapping: Mapping[str, str] | None = None) -> None:
        super().__init__(RunFiles(path.parent, safe_run_id(path.name.partition(".")[0])), [])
        self.path = path
        self.adapter = adapter
        self._mapping = dict(mapping or {})

    @property
    def format(self) -> str:
        """The adapter's name."""
        return self.adapter.name

    @property
    def dialect(self) -> str | None:
        """Whose metric keys these are; None where no dialect knows any."""
        return self._detected[0].name if self._detected[0] else None

    @property
    def algorithm(self) -> str | None:
        """The algorithm, as far as the keys tell."""
        return self._detected[1]

    @property
    def state(self) -> State:
        """`ended` where the log has the trainer's closing summary, else `unfinished`."""
        return "ended" if any(event.phase == "summary" for event in self) else "unfinished"

    @property
    def info(self) -> dict[str, Any]:
        """Nothing: a foreign log does not say what ran."""
        return {}

    def __iter__(self) -> Iterator[Event]:
        """The events of the log."""
        name = self._namer()
        clock = _Clock()
        train_records = 0
        step = 0
        for row in self._rows():
            values = _with_numbers(row.values)
            phase = row.phase or phase_of(values)
            metrics, notes = measure(values, name)
            if not (metrics or notes):
                continue
            train_records += phase == "train"
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

    def follow(self, *, poll: float = 0.5) -> Iterator[Event]:
        """The events that are there: a foreign log does not say whether more are to come."""
        del poll
        return iter(self)

    def samples(self) -> Samples:
        """The samples of TRL's tables of completions in this folder, or beside this log."""
        tables = tables_of(self.path)
        functions = reward_functions(self._sample) if tables else None
        return Samples([Table(path, functions) for path in tables], self._bad.new_pass)

    def _of_phase(self, phase: Phase) -> Iterator[Event]:
        for event in self:
            if event.phase == phase:
                event.metrics.update(event.nonfinite())
                yield event

    def last(self, phase: Phase | None = None) -> Event | None:
        """The newest event (of `phase`); the whole log is read."""
        last = None
        for event in self:
            if phase in (None, event.phase):
                last = event
        return last

    def _rows(self) -> Iterator[Row]:
        return self.adapter.rows(self.path, self._bad.new_pass())

    @cached_property
    def _sample(self) -> set[str]:
        keys: set[str] = set()
        ignored: list[BadLine] = []
        for row in islice(self.adapter.rows(self.path, ignored.append), SAMPLE):
            keys.update(measure(_with_numbers(row.values), _unchanged)[0])
            if len(keys) >= MAX_KEYS:
                break
        return keys

    @cached_property
    def _detected(self) -> tuple[Dialect | None, str | None]:
        return detect(self._sample, self.adapter.dialect)

    def _namer(self) -> Callable[[str], str]:
        # A name that the user gave to another key is not the dialect's to give.
        taken = {self._mapping[key] for key in self._sample if key in self._mapping}
        names = {key: self._canonical(key) for key in self._sample}
        names = {key: key if name in taken else name for key, name in names.items()} | self._mapping
        return lambda key: names.get(key) or self._canonical(key)

    def _canonical(self, key: str) -> str:
        """The dialect's name; trackers write `train/x` and `eval/x` where the trainer says `x`, `eval_x`."""
        dialect, algorithm = self._detected
        if dialect is None:
            return key
        if not dialect.knows(key, algorithm):
            for prefix, plain in (("train/", ""), ("eval/", "eval_")):
                if key.startswith(prefix) and dialect.knows(key.removeprefix(prefix), algorithm):
                    return dialect.canonical(plain + key.removeprefix(prefix), algorithm)
        return dialect.canonical(key, algorithm)


class _Clock:
    """Times of rows, as seconds since the first: some logs give the time of day."""

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
    """`values` with numbers that were written as text read: printed logs and CSV quote them."""
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

"""A healthy log that something is put into: its records as the doctor sees them, by canonical names.

Owns the reading of the three sources: runs of the labelled set, generated runs, and lists of public logs.
Invariant: a Base is never changed; what is derived from it is computed once.
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from math import isfinite
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from false_alarms import RECORDS, dpo, grpo, sft
from score import labelled_set

from rldk.errors import RLDKError
from rldk.health import RunContext, Settings
from rldk.health.context import GROUPED
from rldk.health.observation import Observation
from rldk.runs import open_run

Series = np.ndarray[Any, np.dtype[np.float64]]
LABELS = Path(__file__).resolve().parents[1] / "labels.json"
LEAST = 30
"""Train records below which nothing is put into a log."""
MOST = 400
"""Longer logs are cut: their beginning is what is hard to judge, and the work grows with the length."""
LONG = 90
"""Train records from which a log counts as long."""
HALF_WINDOW = 7
"""Records on either side that the trend of a series is the mean of."""
INJECTED_INTO = 5
"""One in so many generated runs has something put into it; all are judged as they are."""
KINDS = {**dict.fromkeys(GROUPED, "grpo"), "dpo": "dpo", "sft": "sft"}
"""The kind of each algorithm that a fault is put into."""


@dataclass(frozen=True)
class Split:
    """A series as its centred running mean and the rest."""

    trend: Series
    rest: Series
    sd: float
    """Standard deviation of the rest, never 0."""


@dataclass(frozen=True)
class Base:
    """A healthy log."""

    name: str
    source: str
    """`public`, `trained`, `simulated` or `generated`."""
    context: RunContext
    records: tuple[Observation, ...]
    allowed: frozenset[str]
    """Rules whose findings are true of the log, and no false alarm."""
    settings: Settings = field(default_factory=Settings)
    is_spare: bool = False
    """Whether it is only judged as it is: because something was done to it that it survives, or because there
    are enough of its kind."""
    _splits: dict[str, Split | None] = field(default_factory=dict, init=False, repr=False)
    _series: dict[str, Series | None] = field(default_factory=dict, init=False, repr=False)

    @property
    def kind(self) -> str | None:
        """`grpo`, `dpo` or `sft`; None where no fault is put into such a log."""
        return KINDS.get(self.context.algorithm or "")

    @cached_property
    def train(self) -> tuple[Observation, ...]:
        """The train records."""
        return tuple(record for record in self.records if record.phase == "train")

    @property
    def is_long(self) -> bool:
        """Whether it has `LONG` train records."""
        return len(self.train) >= LONG

    def holds(self, name: str) -> bool:
        """Whether four fifths of the train records hold a finite value."""
        return sum(is_number(record.values.get(name)) for record in self.train) >= 0.8 * len(self.train) > 0

    def series(self, name: str) -> Series | None:
        """The values of the train records, gaps filled with the value before; None where there is none."""
        if name not in self._series:
            values = [record.values.get(name) for record in self.train]
            self._series[name] = filled(values)
        return self._series[name]

    def split(self, name: str) -> Split | None:
        """The series as trend and rest."""
        if name not in self._splits:
            values = self.series(name)
            self._splits[name] = None if values is None else split(values)
        return self._splits[name]


def is_number(value: object) -> bool:
    """Whether a value is finite."""
    return isinstance(value, int | float) and isfinite(value)


def filled(values: list[float | None]) -> Series | None:
    """A series without gaps: a gap has the value before it, gaps at the start the first value."""
    held = [value for value in values if value is not None and isfinite(value)]
    if not held:
        return None
    last, out = held[0], []
    for value in values:
        last = value if value is not None and isfinite(value) else last
        out.append(last)
    return np.array(out, dtype=float)


def trend(values: Series) -> Series:
    """The centred running mean, over fewer records at the ends."""
    count = len(values)
    sums = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(count)
    low, high = np.maximum(at - HALF_WINDOW, 0), np.minimum(at + HALF_WINDOW + 1, count)
    means: Series = (sums[high] - sums[low]) / (high - low)
    return means


def split(values: Series) -> Split:
    """Trend and rest of a series."""
    level = trend(values)
    rest = values - level
    return Split(level, rest, max(float(rest.std()), 1e-9))


def cut(records: list[Observation]) -> tuple[Observation, ...]:
    """The records up to the last of `MOST` train records."""
    seen, kept = 0, []
    for record in records:
        seen += record.phase == "train"
        if seen > MOST:
            break
        kept.append(record)
    return tuple(kept)


def labelled() -> Iterator[Base]:
    """The healthy runs of the labelled set."""
    labels = json.loads(LABELS.read_text())
    for run in labelled_set():
        if run.verdict == "healthy":
            opened = open_run(run.path)
            records = cut([Observation.of(event) for event in opened])
            is_clean = labels[run.name]["clean"]
            settings, about = opened.settings(), opened.context()
            yield Base(run.name, run.kind, about, records, run.also_true, settings, is_spare=not is_clean)


def public(listing: Path) -> Iterator[Base]:
    """The healthy logs of a list: columns `id` or `run`, `file`, `algorithm`, `allowed`, perhaps `scored_as`.

    What rldk cannot read is left out, and so is an algorithm that it does not judge by its name.
    """
    with listing.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        if (row.get("scored_as") or row.get("label") or "healthy") != "healthy":
            continue
        try:
            opened = open_run(listing.parent / row["file"])
            records = cut([Observation.of(event) for event in opened])
        except RLDKError:
            continue
        context = opened.context()
        if context.algorithm is None and row["algorithm"] in KINDS:
            context = msgspec.structs.replace(context, algorithm=row["algorithm"])
        allowed = frozenset(filter(None, (row.get("allowed") or "").split(";")))
        yield Base(f"public {row.get('run') or row['id']}", "public", context, records, allowed)


def generated(count: int, seed: int) -> Iterator[Base]:
    """Runs that are healthy by construction, as `false_alarms.py` generates them."""
    rng = np.random.default_rng([seed, 1])
    for number in range(count):
        algorithm, make = (("grpo", grpo), ("dpo", dpo), ("sft", sft))[number % 3]
        length = int(rng.choice(RECORDS))
        _, columns = make(rng, length)
        columns["lr"] = 1e-6 * (1 - np.arange(length) / length)
        spacing = int(rng.choice([1, 1, 10]))
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        records = [
            Observation((at + 1) * spacing, "log", dict(zip(columns, row, strict=True)), wall_time=10.0 * at)
            for at, row in enumerate(rows)
        ]
        context = RunContext(algorithm=algorithm, dialect="trl")
        yield Base(
            f"generated-{seed}-{number}",
            "generated",
            context,
            cut(records),
            frozenset(),
            is_spare=number % INJECTED_INTO != 0,
        )

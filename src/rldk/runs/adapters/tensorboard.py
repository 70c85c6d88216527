"""TensorBoard's events files as rows, with the keys that transformers' trainers logged.

Invariant: a row holds one step and one phase, and each live scalar once; what a later attempt superseded
is left out, and a record that is cut or damaged goes to `on_bad`.
"""

import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rldk.errors import AmbiguousRunError, MissingDependencyError
from rldk.event import Phase
from rldk.runs.adapters.base import HEAD_BYTES, MAX_RATIO, Adapter, OnBad, Probe, Row, open_binary
from rldk.runs.records import BadLine

__all__ = ["ADAPTER", "StepRows", "trainer_key"]

MAX_RECORD = 1 << 26
"""Bytes of a record; a longer one is damage, or holds no scalar."""
CHECKED = 1 << 16
"""A longer record is a histogram or an image, whose checksum takes long in Python."""
ENOUGH = 200
"""Scalars after which Stable-Baselines3 would have shown itself."""

_SUMMARY = {
    *("train_runtime", "train_samples_per_second", "train_steps_per_second", "train_tokens_per_second"),
    *("train_loss", "total_flos"),
}
_EVALS = {"eval/": "eval_", "test/": "test_"}


def trainer_key(tag: str) -> tuple[str, Phase | None]:
    """The key that a trainer of transformers logged, and its phase, from what its callback made of it.

    The phase is None for a key that stands in the logs of every phase.
    """
    for prefix, own in _EVALS.items():
        if tag.startswith(prefix):
            return own + tag.removeprefix(prefix), "eval"
    key = tag.removeprefix("train/")
    if key in ("epoch", "num_input_tokens_seen"):
        return key, None
    return key, "summary" if key in _SUMMARY else "train"


@dataclass
class OpenRow:
    """A row that more values may come to."""

    wall_time: float | None
    values: dict[str, Any]


class StepRows:
    """Values that come one after another, gathered into one row for each step and phase."""

    def __init__(self) -> None:
        self.open: dict[Phase, OpenRow] = {}
        self.step: int | None = None
        self._phase: Phase = "train"

    def move(self, step: int | None) -> list[Row]:
        """Go to a step; the rows that this finishes."""
        if step == self.step:
            return []
        done = self.close()
        self.step, self._phase = step, "train"
        return done

    def add(self, wall_time: float | None, phase: Phase | None, values: Mapping[str, Any]) -> list[Row]:
        """Take values of this step; the rows that they finish: a key that comes again begins a new one.

        Without a phase they belong to what came last, and may come again unchanged.
        """
        row = self.open.get(phase or self._phase)
        done = []
        if row and any(key in row.values and (phase or row.values[key] != values[key]) for key in values):
            done = self.close()
        self._phase = phase or self._phase
        self.open.setdefault(self._phase, OpenRow(wall_time, {})).values.update(values)
        return done

    def close(self) -> list[Row]:
        """The rows that are open, in the order in which they began; there are none after that."""
        done = [Row(row.values, self.step, row.wall_time, phase) for phase, row in self.open.items()]
        self.open = {}
        return done


class _Attempt(NamedTuple):
    """One events file, as its first records tell."""

    path: Path
    began: float
    first_step: int | None
    """None where it holds no step of a training: it supersedes nothing."""
    as_they_are: bool
    """Whether the tags are Stable-Baselines3's, which transformers' callback did not touch."""


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    attempts = sorted(map(_attempt, _files(path)), key=lambda one: (one.began, one.path.name))
    if not attempts:
        on_bad(BadLine(path, 1, "the folder holds no events file"))
    as_they_are = any(attempt.as_they_are for attempt in attempts)
    for index, attempt in enumerate(attempts):
        later = [one.first_step for one in attempts[index + 1 :] if one.first_step is not None]
        for row in _rows_of_file(attempt.path, as_they_are, on_bad):
            assert row.step is not None
            if not later or row.step < min(later):
                yield row


def _rows_of_file(path: Path, as_they_are: bool, on_bad: OnBad) -> Iterator[Row]:
    rows = StepRows()
    for step, wall_time, tag, value in _scalars(path, on_bad):
        key, phase = trainer_key(tag)
        yield from rows.move(step)
        yield from rows.add(wall_time, phase, {tag if as_they_are else key: value})
    yield from rows.close()


def _attempt(path: Path) -> _Attempt:
    """What the beginning of a file tells; a later evaluation, in a file of its own, is no training."""
    ignored: list[BadLine] = []
    began, first, trained, baselines, known = math.inf, None, False, False, False
    for number, (step, wall_time, tag, _) in enumerate(_scalars(path, ignored.append)):
        if first is None:
            first, began = step, wall_time if wall_time is not None else began
        baselines = baselines or tag.startswith(("time/", "rollout/"))
        known = known or baselines or tag == "train/epoch" or number > ENOUGH
        trained = trained or trainer_key(tag)[1] == "train"
        if trained and known:
            break
    return _Attempt(path, began, first if trained else None, baselines)


def _scalars(path: Path, on_bad: OnBad) -> Iterator[tuple[int, float | None, str, float]]:
    """The scalars of a file: step, time, tag and value."""
    try:
        from google.protobuf.message import DecodeError
        from tensorboard.compat.proto.event_pb2 import Event
    except ImportError as error:
        raise MissingDependencyError("Reading TensorBoard events", "tensorboard", "tensorboard") from error
    for number, data in _records(path, on_bad):
        try:
            event = Event.FromString(data)
        except DecodeError as error:
            on_bad(BadLine(path, number, f"a record that is no event: {error}"))
            continue
        wall_time = event.wall_time if math.isfinite(event.wall_time) else None
        for value in event.summary.value:
            number_of_value = _number(value)
            if number_of_value is not None:
                yield event.step, wall_time, value.tag, number_of_value


def _number(value: Any) -> float | None:
    """The number of a scalar of the older or the newer kind; None for text, histograms, images."""
    kind = value.WhichOneof("value")
    if kind == "simple_value":
        return float(value.simple_value)
    # A few bytes may claim a shape of any size, which make_ndarray would fill.
    if kind != "tensor" or any(dim.size != 1 for dim in value.tensor.tensor_shape.dim):
        return None
    from tensorboard.util.tensor_util import make_ndarray

    try:
        array = make_ndarray(value.tensor)
    except (KeyError, TypeError, ValueError, IndexError):
        return None
    return float(array.item()) if array.size == 1 and array.dtype.kind in "fiub" else None


def _records(path: Path, on_bad: OnBad) -> Iterator[tuple[int, bytes]]:
    """The records of a TFRecord file with their numbers: length, its checksum, data, their checksum."""
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    bound = path.stat().st_size * MAX_RATIO + HEAD_BYTES
    number, taken = 1, 0
    with open_binary(path) as file:
        try:
            while head := file.read(12):
                length, checksum = struct.unpack("<QI", head) if len(head) == 12 else (0, 0)
                taken += length
                if len(head) == 12 and (masked_crc32c(head[:8]) != checksum or length > MAX_RECORD):
                    on_bad(BadLine(path, number, "the file is damaged here; the rest is left"))
                    return
                data = file.read(length + 4)
                if len(data) < length + 4 or taken > bound:
                    on_bad(BadLine(path, number, "the file is cut short here"))
                    return
                data, tail = data[:length], data[length:]
                if length <= CHECKED and masked_crc32c(data) != int.from_bytes(tail, "little"):
                    on_bad(BadLine(path, number, "a damaged record: its checksum is another"))
                else:
                    yield number, data
                number += 1
        except (EOFError, OSError, zlib.error) as error:
            on_bad(BadLine(path, number, f"the file is cut short or damaged here: {error}"))


def _files(path: Path) -> list[Path]:
    """The events files of a run: the file, those of the folder, or those of its one sub-folder.

    Raises:
        AmbiguousRunError: several sub-folders hold some: these are several runs.
    """
    if not path.is_dir():
        return [path]
    if files := _events_files(path):
        return files
    folders = [(folder, files) for folder in sorted(path.iterdir()) if (files := _events_files(folder))]
    if len(folders) > 1:
        raise AmbiguousRunError(path, [str(folder) for folder, _ in folders])
    return folders[0][1] if folders else []


def _events_files(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if "tfevents" in path.name and path.is_file()]
    except OSError:  # no folder, or one that others may not look into
        return []


def _confidence(probe: Probe) -> float:
    if probe.is_dir:
        if _events_files(probe.path):
            return 0.95
        return 0.6 if any(_events_files(folder) for folder in probe.path.iterdir()) else 0.0
    # A record begins with a length of 8 bytes, whose last ones are 0 in every real file.
    named = "tfevents" in probe.name and (not probe.head or b"\0" in probe.head[:12])
    return 0.95 if named or b"brain.Event:" in probe.head[12:64] else 0.0


ADAPTER = Adapter(
    name="tensorboard",
    what="a TensorBoard events file, or a folder with the events files of one run",
    confidence=_confidence,
    rows=_rows,
)

"""Samples files for tests: the lines that `observe_rewards` leaves, made in microseconds."""

from pathlib import Path
from typing import Any

import msgspec

from events import event, write_run
from rldk.schema.files import RunFiles
from rldk.schema.sample import RecordedSample


def recorded(step: int, completion: Any = "an answer", **changes: Any) -> RecordedSample:
    """One recorded sample with one reward function, unless told otherwise."""
    given = {
        "phase": "train",
        "group": 0,
        "index": 0,
        "prompt": "a question",
        "rewards": {"accuracy": 0.5},
        "reward": 0.5,
        "length": 7,
        "end": "eos",
        "why": ("random",),
    }
    return RecordedSample(step=step, completion=completion, **(given | changes))


def line(sample: RecordedSample, **more: Any) -> bytes:
    """A line of the file; `more` holds keys that only some recorders write."""
    return msgspec.json.encode(msgspec.to_builtins(sample) | more) + b"\n"


def write_samples(files: RunFiles, *samples: RecordedSample | bytes) -> RunFiles:
    """The samples file of a run, beside what there is of it."""
    whole = b"".join(one if isinstance(one, bytes) else line(one) for one in samples)
    files.samples.write_bytes(whole)
    return files


def run_with(folder: Path, *samples: RecordedSample | bytes) -> RunFiles:
    """A run of one event and these samples."""
    return write_samples(write_run(folder, event(1, loss=1.0)), *samples)

"""Recorded runs for the tests of what reads them: written by the real writer, without a training."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from rldk.event import DataSlice, Event, ModelInfo, Phase, Rng, encode
from rldk.files import RunFiles
from rldk.recording.writer import JsonlWriter


def event(step: int, phase: Phase = "train", notes: Iterable[str] = (), **metrics: Any) -> Event:
    """An Event with these metrics."""
    return Event(
        step=step,
        wall_time=step / 2,
        metrics=metrics or {"loss": 1 / (step + 1), "reward_mean": step / 100},
        rng=Rng(seed=42),
        data_slice=DataSlice(batch_size=8),
        model_info=ModelInfo(run_id="run", phase=phase),
        notes=tuple(notes),
    )


def record(folder: Path, events: Iterable[Event], run_id: str = "run", **options: Any) -> RunFiles:
    """Write the events of a run into `folder`."""
    files = RunFiles(folder, run_id)
    writer = JsonlWriter(files, **options)
    for one in events:
        writer.write(encode(one))
    writer.close()
    return files


def end(files: RunFiles, how: str = "completed") -> None:
    """Say in run.json that the run ended."""
    files.run.write_bytes(msgspec.json.encode({"run_id": files.run_id, "end": {"how": how}}))

"""Events and runs for tests of the layers below the trainers: no torch, made in microseconds."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import strategies as st

from rldk.doctor.good_checkpoint import checkpoint_states
from rldk.doctor.judge import diagnosis_with, monitor_of
from rldk.health import Diagnosis
from rldk.recording.writer import JsonlWriter
from rldk.runs import Run
from rldk.schema.event import DataSlice, Event, ModelInfo, Rng, encode, resumed_note
from rldk.schema.files import RunFiles
from rldk.testing import event


def logged(step: int, phase: str = "train", notes: tuple[str, ...] = (), /, **metrics: Any) -> Event:
    """An Event with a loss and a reward, unless other metrics are given."""
    return event(step, phase, notes, **(metrics or {"loss": 1 / (step + 1), "reward_mean": step / 100}))


def resumed(step: int, from_step: int, **metrics: Any) -> Event:
    """The first Event after a resume."""
    return event(step, "train", (resumed_note(from_step),), **metrics)


def lines(*events: Event) -> bytes:
    """What an events file holds."""
    return b"".join(encode(one) + b"\n" for one in events)


def write_run(folder: Path, *events: Event, run_id: str = "run") -> RunFiles:
    """A run of one events file."""
    folder.mkdir(parents=True, exist_ok=True)
    files = RunFiles(folder, run_id)
    files.events.write_bytes(lines(*events))
    return files


def record(folder: Path, events: Iterable[Event], run_id: str = "run", **options: Any) -> RunFiles:
    """A run that the writer wrote."""
    files = RunFiles(folder, run_id)
    writer = JsonlWriter(files, **options)
    for one in events:
        writer.write(encode(one))
    writer.close()
    return files


def end(files: RunFiles, how: str = "completed") -> None:
    """Say in run.json that the run ended."""
    files.run.write_bytes(msgspec.json.encode({"run_id": files.run_id, "end": {"how": how}}))


def line_of(number: int, width: int = 500) -> bytes:
    """A line that a test can tell apart, about as long as a real one."""
    return encode(event(number, filler=1.0, **{"x" * width: number}))


numbers = (
    st.integers(-(2**70), 2**70)
    | st.sampled_from([10**300, -(10**300), 0, 1, -1])
    | st.floats(allow_nan=False, allow_infinity=False)
)
# Text that UTF-8 holds; lone surrogates have a test of their own.
texts = st.text(max_size=20)
names = st.text(min_size=1, max_size=12)
counts = st.integers(0, 2**70)
seeds = st.none() | st.integers(-(2**70), 2**70)

events = st.builds(
    Event,
    step=counts,
    wall_time=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    metrics=st.dictionaries(names, st.none() | numbers, max_size=8),
    rng=st.builds(
        Rng,
        seed=seeds,
        python_hash_seed=seeds,
        torch_seed=seeds,
        numpy_seed=seeds,
        random_seed=seeds,
    ),
    data_slice=st.builds(
        DataSlice,
        tokens_in=seeds,
        tokens_out=seeds,
        batch_size=st.none() | counts,
        sequence_length=st.none() | counts,
    ),
    model_info=st.builds(
        ModelInfo,
        run_id=st.none() | texts,
        git_sha=st.none() | texts,
        phase=st.sampled_from(["train", "eval", "summary"]),
        model_name=st.none() | texts,
        model_size=st.none() | counts,
        optimizer=st.none() | texts,
        scheduler=st.none() | texts,
    ),
    notes=st.lists(texts, max_size=4).map(tuple),
)


def found_in(run: Run) -> Diagnosis:
    """What a later look finds in a run, its samples left aside."""
    return diagnosis_with(monitor_of(run), run.checkpoint_folder, checkpoint_states(run.analyses()))

"""The simulated half of the set: series for what a tiny model cannot show, seeded and marked as such.

`python benchmarks/detection/simulated.py` writes them all again to `runs/sim-*`. The keys are those of the
framework that logs them, read by rldk's own dialects, so that a series passes through the same names as a log
would. Each run says in its `run.json`, and in the notes of its first record, that nothing was trained.
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import store
from bases import Columns, Draw
from series import SERIES, Series

from rldk import __version__
from rldk.metrics.dialects.trl import TRL, TRL_0
from rldk.metrics.dialects.verl import VERL
from rldk.metrics.values import measure
from rldk.schema.event import SCHEMA_VERSION, DataSlice, Event, ModelInfo, Phase, Rng
from rldk.schema.files import RunFiles

RUNS = Path(__file__).resolve().parent / "runs"
SEEDS = (1, 2)
NOTE = "simulated: made by benchmarks/detection/simulated.py, no training ran"
DIGITS = 4


def events(series: Series, seed: int, run_id: str) -> Iterator[Event]:
    """The records of one series."""
    draw = Draw(series.count, seed, series.algorithm + series.dialect.name)
    columns = series.make(draw)
    evaluation = series.evaluate(draw) if series.evaluate else {}
    pace = next((columns[key] for key in ("step_time", "timing_s/step") if key in columns), None)
    seconds = series.seconds(draw) if series.seconds else np.full(series.count, 2.0) if pace is None else pace
    clock = np.cumsum(seconds)
    canonical = series.dialect.reader(series.algorithm)
    always = ("loss", "grad_norm", "learning_rate", "kl", "entropy", "clip_ratio", "step_time", "epoch")

    def event(i: int, row: Columns, phase: Phase, after: float = 0.0) -> Event:
        metrics, notes = measure(row, canonical)
        return Event(
            step=i + 1,
            wall_time=float(clock[i]) + after,
            metrics=metrics,
            rng=Rng(seed=seed),
            data_slice=DataSlice(),
            model_info=ModelInfo(run_id=run_id, phase=phase),
            notes=(f"text:{NOTE}", *notes) if i == 0 else tuple(notes),
        )

    for i in range(series.count):
        row = {key: float(values[i]) for key, values in columns.items()}
        if i % series.sparse:
            row = {key: value for key, value in row.items() if key.startswith(always)}
        yield event(i, row, "train")
        if evaluation and (i + 1) % 25 == 0:
            yield event(i, {key: float(values[i]) for key, values in evaluation.items()}, "eval", 0.5)


def write(series: Series, seed: int) -> None:
    """Store one series as a run."""
    run_id = f"{series.name}-s{seed}"
    shutil.rmtree(RUNS / run_id, ignore_errors=True)
    files = RunFiles(RUNS / run_id, run_id)
    rows = list(events(series, seed, run_id))
    store.write_events(rows, files, DIGITS)
    store.write_info(_info(series, seed, run_id, len(rows)), files)


def _info(series: Series, seed: int, run_id: str, records: int) -> dict[str, Any]:
    versions = {TRL: {"trl": "1.16.0"}, TRL_0: {"trl": "0.23.1"}, VERL: {"verl": "0.9.1"}}[series.dialect]
    args = {"max_steps": series.count, "logging_steps": 1, "seed": seed} | dict(series.args)
    if series.dialect is TRL and series.algorithm == "grpo":
        args |= {"learning_rate": 1e-6, "beta": 0.001, "num_generations": 8, "use_vllm": True}
    failed = series.end != "completed"
    return {
        "rldk": __version__,
        "event_schema": SCHEMA_VERSION,
        "run_id": run_id,
        "name": run_id,
        "note": NOTE,
        "attempts": [
            {
                "from_step": 0,
                "algorithm": series.algorithm,
                "devices": [{"name": "simulated", "memory_bytes": 80 * 2**30}],
                "versions": versions,
                "args": args,
            }
        ],
        "end": {
            "how": "exception" if failed else "completed",
            "detail": series.end if failed else None,
            "step": series.count,
            "records": records,
        },
    }


def labels() -> dict[str, dict[str, Any]]:
    """The entries of `labels.json`."""
    return {f"{series.name}-s{seed}": _label(series, seed) for series in SERIES for seed in SEEDS}


def _label(series: Series, seed: int) -> dict[str, Any]:
    ill = bool(series.fault)
    return {
        "kind": "simulated",
        "scenario": series.name,
        "trainer": series.algorithm,
        "seed": seed,
        "logging_steps": 1,
        "clean": not ill,
        "fault": series.fault,
        "shows": series.shows,
        "hidden": "",
        "verdict": "ill" if ill else "healthy",
        "expected": sorted(series.expected),
        "also_true": sorted(series.also_true),
        "level": series.level,
        "onset": series.onset if ill else 0,
        "abrupt": series.abrupt if ill else None,
        "truth_metric": None,
        "clean_sibling": f"{series.clean}-s{seed}" if ill else None,
        "remedy": None,
        "remedy_run": None,
        "no_remedy": "simulated: nothing can be trained again" if ill else None,
        "remedy_of": None,
    }


def main() -> int:
    """Write them all."""
    for series in SERIES:
        for seed in SEEDS:
            write(series, seed)
    print(f"{len(SERIES) * len(SEEDS)} series")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What reading a run costs: its columns, against a bare msgspec line loop over the same file.

Writes the events of a long run once (a million by default, of 27 metrics each), then reads them in a
process of its own each time: the bare loop, which decodes each line's step and metrics and appends every
number to an array of its own; `Run.columns`; and, where they are wanted, the events one by one, and
pandas. Prints time, the ratio to the bare loop, and the peak of memory beside the size of the columns.

`python benchmarks/reading.py --format markdown` prints the table of docs/performance.md.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from array import array
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from rldk.runs import open_run
from rldk.schema.event import DataSlice, Event, ModelInfo, Rng, encode

METRICS = 27
COLUMNS = ("reader", "seconds", "x bare loop", "peak MB", "of it data MB")


class Line(msgspec.Struct):
    """What the bare loop decodes of a line."""

    step: int
    metrics: dict[str, float | None]


def bare_loop(path: Path) -> int:
    """Each number into the array of its metric; missing values and resumes are not thought of."""
    decode = msgspec.json.Decoder(Line).decode
    steps = array("q")
    columns: dict[str, array[float]] = defaultdict(lambda: array("d"))
    with path.open("rb") as file:
        for line in file:
            one = decode(line)
            steps.append(one.step)
            for name, value in one.metrics.items():
                columns[name].append(float("nan") if value is None else value)
    return steps.itemsize * len(steps) + sum(column.itemsize * len(column) for column in columns.values())


def run_columns(path: Path) -> int:
    """`Run.columns`."""
    return sum(column.nbytes for column in open_run(path).columns().values())


def run_events(path: Path) -> int:
    """The Events one by one, nothing kept."""
    for _ in open_run(path):
        pass
    return 0


def pandas_read_json(path: Path) -> int:
    """The line that one finds everywhere; it does not even take the nested metrics apart."""
    import pandas as pd

    return int(pd.read_json(path, lines=True).memory_usage(deep=True).sum())


READERS: dict[str, Callable[[Path], int]] = {
    "bare msgspec loop": bare_loop,
    "Run.columns()": run_columns,
    "for event in run": run_events,
    "pandas.read_json": pandas_read_json,
}


def main() -> None:
    """Write, read, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument(
        "--rounds", type=int, default=3, help="readings of each kind, in turns; the fastest counts"
    )
    parser.add_argument("--all", action="store_true", help="also the readers that take minutes or gigabytes")
    parser.add_argument("--format", choices=["terminal", "markdown"], default="terminal")
    parser.add_argument("--folder", help="where the temporary file is made")
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)  # one reading, in a process of its own
    options = parser.parse_args()
    if options.read:
        return _read(*options.read)
    names = [name for name in READERS if options.all or name != "pandas.read_json"]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        path = Path(folder) / "long_events.jsonl"
        _write(path, options.events)
        found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        turns = [name for _ in range(options.rounds) for name in names]
        for name in track(turns, "reading", console=Console(stderr=True)):
            command = [sys.executable, __file__, "--read", name, str(path)]
            found[name].append(json.loads(subprocess.check_output(command)))
        megabytes = path.stat().st_size / 1e6
    best = {name: min(times, key=lambda one: one["seconds"]) for name, times in found.items()}
    floor = best["bare msgspec loop"]["seconds"]
    rows = [
        (name, f"{b['seconds']:.2f}", f"{b['seconds'] / floor:.2f}", f"{b['peak']:.0f}", f"{b['data']:.0f}")
        for name, b in best.items()
    ]
    print(f"{options.events:,} events, {METRICS} metrics each, {megabytes:,.0f} MB\n")
    if options.format == "markdown":
        print(f"| {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * (len(COLUMNS) - 1)}")
        print("\n".join(f"| {' | '.join(row)} |" for row in rows))
        return None
    table = Table(*COLUMNS)
    for row in rows:
        table.add_row(*row)
    Console().print(table)
    return None


def _read(name: str, path: str) -> None:
    """One reading: seconds, MB that the process grew by at its peak, MB of what was read."""
    READERS[name](_first_lines(Path(path)))  # imports and caches are no part of it
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    data = READERS[name](Path(path))
    seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"seconds": seconds, "peak": peak / 1000, "data": data / 1e6}))


def _first_lines(path: Path) -> Path:
    short = path.with_name("short_events.jsonl")
    with path.open("rb") as file:
        short.write_bytes(b"".join(file.readline() for _ in range(100)))
    return short


def _write(path: Path, events: int) -> None:
    """A run as a recorder writes it; a thousand different records, over and over."""
    source = random.Random(42)
    rng, data, info = Rng(seed=42), DataSlice(batch_size=16), ModelInfo(run_id="long", model_name="tiny")
    names = [f"a/metric/of/{number}" for number in range(METRICS)]
    values = [{name: source.random() for name in names} for _ in range(1_000)]
    with path.open("wb") as file:
        for step in track(range(1, events + 1), "writing", console=Console(stderr=True)):
            event = Event(
                step=step,
                wall_time=step / 2,
                metrics=values[step % 1_000],
                rng=rng,
                data_slice=data,
                model_info=info,
                notes=(),
            )
            file.write(encode(event) + b"\n")


if __name__ == "__main__":
    main()

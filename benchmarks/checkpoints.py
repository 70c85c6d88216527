"""What analysing a checkpoint costs: one GB of weights against its predecessor, on one core.

Each case is measured in a process of its own, bound to one core where the system can do that: the best of
three analyses from a warm cache, the peak memory beyond that of the process before the first, and the time
of plainly reading the same two files. All files are made in a temporary folder and removed.

`python benchmarks/checkpoints.py` prints the table of docs/checkpoints.md; `--check` exits with 1 beyond
the limits. `--faults` prints what is found in real checkpoints instead: in those of the tests, spoiled and
healthy, of trainings that it does first; it needs TRL and peft.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

MIN_GB_PER_SECOND = 0.5
"""Bytes of the newer checkpoint, over the time of the analysis."""
MAX_MEMORY_MB = 300.0
"""Peak of the resident memory beyond that at the start."""
ROUNDS = 3
LAYERS = 24
READ_BYTES = 1 << 18


class Case(NamedTuple):
    """A pair of checkpoints."""

    dtype: str
    changed: float
    """Share of the elements that differ."""


CASES = [Case("BF16", 1.0), Case("BF16", 0.1), Case("F32", 1.0), Case("F32", 0.1), Case("F8_E4M3", 1.0)]
CHECKED = ("BF16", "F32")
"""Dtypes that the limit of speed is for; of fp8 a GB has twice or four times as many elements."""
WIDTH = {"BF16": 2, "F32": 4, "F8_E4M3": 1}


def main() -> None:
    """Measure every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--gb", type=float, default=1.0, help="size of a checkpoint")
    parser.add_argument("--folder", help="where the files are made; default: a temporary folder")
    parser.add_argument("--faults", action="store_true", help="judge seeded faults and healthy checkpoints")
    parser.add_argument("--check", action="store_true", help="exit with 1 beyond the limits")
    parser.add_argument("--measure", nargs=2, metavar=("OLD", "NEW"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        json.dump(measured(*arguments.measure), sys.stdout)
        return
    if arguments.faults:
        sys.exit(faults())
    with TemporaryDirectory(dir=arguments.folder) as folder:
        results = [(case, result(case, Path(folder), arguments.gb)) for case in CASES]
    table = Table(title=f"{arguments.gb:g} GB against its predecessor, one core of {platform.machine()}")
    for title in ("weights", "changed", "GB/s", "plain read, GB/s", "times a plain read", "memory, MB"):
        table.add_column(title, justify="right")
    beyond = False
    for case, one in results:
        speed = one["bytes"] / one["seconds"] / 1e9
        table.add_row(
            case.dtype,
            f"{case.changed:.0%}",
            f"{speed:.2f}",
            f"{one['bytes'] / one['plain'] / 1e9:.2f}",
            f"{one['seconds'] / one['plain']:.1f}",
            f"{one['memory_mb']:.0f}",
        )
        slow = case.dtype in CHECKED and speed < MIN_GB_PER_SECOND
        beyond = beyond or slow or one["memory_mb"] > MAX_MEMORY_MB
    Console().print(table)
    if arguments.check and beyond:
        sys.exit(f"beyond the limits: {MIN_GB_PER_SECOND} GB/s, {MAX_MEMORY_MB:g} MB")


def faults() -> int:
    """Print what is found in each spoiled and each healthy checkpoint; 1 where that is wrong."""
    sys.path[0] = str(Path(__file__).parents[1] / "tests")  # instead of this folder
    from checkpoints.judging import judged
    from checkpoints.seeded import FAULTS
    from checkpoints.trained import HEALTHY, Trained

    spoiled, healthy = Table(title="seeded faults"), Table(title="healthy checkpoints")
    for title in ("fault", "checkpoint", "expected", "found"):
        spoiled.add_column(title)
    for title in ("run", "step", "in its run", "as a folder"):
        healthy.add_column(title)
    wrong = 0
    with TemporaryDirectory() as folder:
        trained = Trained(Path(folder))
        for i, fault in enumerate(FAULTS):
            run, step = fault.source
            save = trained.copy(trained[run][step], Path(folder) / "spoiled" / str(i))
            fault.spoil(save)
            found = judged(save)
            right = fault.rule in found and loud(found) <= {fault.rule}
            wrong += not right
            spoiled.add_row(fault.name, f"{run} {step}", fault.rule, words(found))
        for run, step in HEALTHY:
            both = [judged(trained[run][step], known=known) for known in (True, False)]
            wrong += any(loud(found) for found in both)
            healthy.add_row(run, str(step), *map(words, both))
    console = Console(width=120)
    console.print(spoiled, healthy)
    console.print(f"{len(FAULTS)} faults, {len(HEALTHY)} healthy checkpoints, {wrong} judged wrongly")
    return bool(wrong)


def loud(found: dict[str, Any]) -> set[str]:
    """The rules that found a warning or worse."""
    return {rule for rule, one in found.items() if one.severity != "info"}


def words(found: dict[str, Any]) -> str:
    """What was found, by rule and severity."""
    return ", ".join(f"{rule} ({one.severity})" for rule, one in found.items()) or "-"


def result(case: Case, folder: Path, gigabytes: float) -> dict[str, float]:
    """Write both checkpoints and measure their analysis in a process of its own."""
    old, new = folder / "checkpoint-10", folder / "checkpoint-20"
    size = write(old, case, gigabytes, seed=1)
    write(new, case, gigabytes, seed=2)
    command = [sys.executable, __file__, "--measure", str(old), str(new)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    for path in (old, new):
        for file in path.iterdir():
            file.unlink()
        path.rmdir()
    return {**json.loads(done.stdout), "bytes": size}


def write(folder: Path, case: Case, gigabytes: float, *, seed: int) -> int:
    """One safetensors file of equal matrices, as of a transformer; returns its bytes."""
    folder.mkdir()
    width, rows = WIDTH[case.dtype], 4096
    columns = int(gigabytes * 1e9 / LAYERS / rows / width)
    header, at = {}, 0
    for layer in range(LAYERS):
        size = rows * columns * width
        name = f"model.layers.{layer}.mlp.up_proj.weight"
        header[name] = {"dtype": case.dtype, "shape": [rows, columns], "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for layer in range(LAYERS):
            file.write(values(case, rows * columns, layer, seed))
    return at + len(text) + 8


def values(case: Case, count: int, layer: int, seed: int) -> bytes:
    """Normal weights of standard deviation 0.02; those of the second seed differ in the case's share."""
    rng = np.random.default_rng(layer)
    weights = rng.standard_normal(count, np.float32) * np.float32(0.02)
    bits: Any = weights.view(np.uint32)
    if case.dtype == "BF16":
        bits = (bits >> 16).astype(np.uint16)
    elif case.dtype == "F8_E4M3":
        bits = rng.integers(0, 0x70, count, np.uint8)
    if seed == 2:
        bits[rng.random(count, np.float32) < case.changed] ^= 1
    return bits.tobytes()


def measured(old: str, new: str) -> dict[str, float]:
    """Time and memory of an analysis in this process."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from rldk.checkpoints import analyse

    plain = min(timed(lambda: read(old, new)) for _ in range(ROUNDS))
    before = peak_mb()
    seconds = min(timed(lambda: analyse(new, old)) for _ in range(ROUNDS))
    return {"seconds": seconds, "plain": plain, "memory_mb": peak_mb() - before}


def read(*folders: str) -> None:
    """Both files, in pieces of 256 kB, into one buffer."""
    buffer = bytearray(READ_BYTES)
    for path in files(*folders):
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass


def files(*folders: str) -> Iterator[Path]:
    """The weights."""
    for folder in folders:
        yield Path(folder) / "model.safetensors"


def timed(action: Any) -> float:
    """Seconds."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def peak_mb() -> float:
    """Highest resident memory of this process so far; `ru_maxrss` of Linux counts the parent's too."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()

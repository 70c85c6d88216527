"""What measuring the machine costs, and whether our readings are those of nvidia-smi.

Prints the processor time of one sample in the sampler's thread, its share of one core at the default of one
sample in 2 s, and the time that `ResourceSampler.latest()` takes of a training at each log. GPUs are the
machine's own where it has some, and recorded ones otherwise: their readings cost what Python does, without
the driver. `--compare-nvidia-smi` prints our readings of the machine's GPUs beside nvidia-smi's.

`python benchmarks/resources.py --format markdown` prints the table of docs/resources.md.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from rldk.recording.gpu_usage import GPUs
from rldk.recording.resources import ResourceSampler

INTERVAL = 2.0
RECORDED_GPUS = 8
COLUMNS = ("what", "samples", "median µs", "p99 µs", "share of one core")
QUERIES = {
    "utilization": "utilization.gpu",
    "memory_used": "memory.used",
    "memory_total": "memory.total",
    "power": "power.draw",
    "power_limit": "enforced.power.limit",
    "temperature": "temperature.gpu",
}
"""Our reading -> what nvidia-smi calls it."""


def sampled(samples, *, gpus):
    """Processor time in µs of each sample, and the sampler, stopped."""
    spent, done = [], threading.Event()
    before = None

    def took(_):
        nonlocal before
        now = time.thread_time()
        if before is not None:
            spent.append(1e6 * (now - before))
        before = now
        if len(spent) >= samples:
            done.set()

    with tempfile.TemporaryDirectory() as folder:
        sampler = ResourceSampler(Path(folder), interval=0.002, gpus=gpus, on_sample=took)
        sampler.start()
        done.wait()
        sampler.stop()
    return spent[1:], sampler


def called(sampler, calls=20_000):
    """Time in µs of `latest()`, right after a sample and later, each the mean of ten calls."""
    first, again = [], []
    for _ in range(calls // 10):
        start = time.perf_counter()
        for _ in range(10):
            sampler._taken = None  # noqa: SLF001 - as after a new sample
            sampler.latest()
        middle = time.perf_counter()
        for _ in range(10):
            sampler.latest()
        first.append(1e5 * (middle - start))
        again.append(1e5 * (time.perf_counter() - middle))
    return first, again


def with_recorded_gpus():
    """Put a recorded NVML in the place of the real one."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
    from recording.nvml import RecordedNVML, gpu

    sys.modules["pynvml"] = RecordedNVML([gpu(f"GPU-{index}") for index in range(RECORDED_GPUS)])


def p99(values):
    return statistics.quantiles(values, n=100)[-1]


def measured(samples):
    """The rows of the table."""
    rows = []

    def add(what, spent, share=True):
        part = f"{statistics.mean(spent) / (1e6 * INTERVAL):.4%}" if share else ""
        rows.append((what, f"{len(spent):,}", f"{statistics.median(spent):.1f}", f"{p99(spent):.1f}", part))

    real = GPUs()
    real.open()
    count = len(real.read()) and len(real._devices)  # noqa: SLF001 - only the count
    real.close()
    spent, sampler = sampled(samples, gpus=())
    add("a sample, no GPU", spent)
    if not count:
        with_recorded_gpus()
    spent, sampler = sampled(samples, gpus=None)
    add(f"a sample, {count} GPUs" if count else f"a sample, {RECORDED_GPUS} recorded GPUs", spent)
    first, again = called(sampler)
    add("latest(), after a new sample", first, share=False)
    add("latest(), without one", again, share=False)
    return rows


def compare():
    """Our readings of each GPU beside nvidia-smi's; the exit code."""
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # nvidia-smi shows all of them, in NVML's order
    smi = shutil.which("nvidia-smi")
    gpus = GPUs()
    gpus.open()
    ours = gpus.read()
    gpus.close()
    if smi is None or not ours:
        print(gpus.missing.get("gpus", "no nvidia-smi on the PATH"), file=sys.stderr)
        return 1
    fields = ",".join(["index", "driver_version", "name", *QUERIES.values()])
    command = [smi, f"--query-gpu={fields}", "--format=csv,noheader,nounits"]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    print("| GPU | reading | rldk | nvidia-smi |\n| --- | --- | ---: | ---: |")
    for line in told.splitlines():
        index, driver, name, *values = (value.strip() for value in line.split(","))
        for reading, value in zip(QUERIES, values, strict=True):
            scale = 1024 if reading.startswith("memory") else 1  # nvidia-smi tells MiB
            own = ours.get(f"gpu{index}_{reading}")
            shown = "absent" if own is None else f"{own * scale:.1f}"
            print(f"| {index}: {name}, driver {driver} | {reading} | {shown} | {value} |")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--format", choices=("terminal", "markdown"), default="terminal")
    parser.add_argument("--compare-nvidia-smi", action="store_true", help="print our readings beside its own")
    options = parser.parse_args()
    if options.compare_nvidia_smi:
        return compare()
    rows = measured(options.samples)
    if options.format == "markdown":
        print("| " + " | ".join(COLUMNS) + " |")
        print("| --- |" + " ---: |" * (len(COLUMNS) - 1))
        for row in rows:
            print("| " + " | ".join(row) + " |")
    else:
        table = Table(*COLUMNS)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What judging a run afterwards costs: `rldk doctor` on the events of a long run.

Writes a healthy GRPO run once (100,000 train records of 27 metrics by default) and runs `rldk doctor --format
json` on it in a process of its own; and for comparison the reading alone. Prints seconds, records a second
and the peak of memory. `--check` exits 1 if the doctor took longer than `MAX_SECONDS`.

`python benchmarks/judging.py --format markdown` prints the table of docs/performance.md.
"""

import argparse
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from rldk.schema.event import DataSlice, Event, ModelInfo, Rng, encode

MAX_SECONDS = 8.0
COLUMNS = ("what", "records", "seconds", "records/s", "peak MB")
READ = "import sys; from rldk.runs import open_run; print(sum(1 for _ in open_run(sys.argv[1])))"


def write(path: Path, records: int) -> None:
    """A run that learns, with noise."""
    noise = random.Random(7).lognormvariate
    with path.open("wb") as file:
        for step in track(range(1, records + 1), "writing", console=Console(stderr=True)):
            done = min(step / 2000, 1.0)
            metrics = {
                "loss": 0.01 * noise(0, 0.5),
                "grad_norm": 0.5 * noise(0, 0.3),
                "lr": 1e-5 * (1 - step / (records + 1)),
                "reward_mean": (0.2 + 0.6 * done) * noise(0, 0.05),
                "reward_std": 0.3 * noise(0, 0.1),
                "frac_reward_zero_std": 0.2 * noise(0, 0.3),
                "kl_mean": 0.1 * done * noise(0, 0.3),
                "entropy_mean": (0.8 - 0.3 * done) * noise(0, 0.05),
                "completion_length_mean": 200 * noise(0, 0.1),
                "completion_length_min": 20 * noise(0, 0.2),
                "completion_length_max": 480 * noise(0, 0.02),
                "truncated_frac": 0.05 * noise(0, 0.4),
                "clip_frac": 0.01 * noise(0, 0.4),
                "step_time": 3 * noise(0, 0.1),
                "sampling_logp_difference_mean": 0.006 * noise(0, 0.1),
                "importance_sampling_ratio_mean": 1 + 0.01 * (noise(0, 0.1) - 1),
                **{
                    f"rewards/f{i}/{moment}": 0.5 * noise(0, 0.1)
                    for i in range(3)
                    for moment in ("mean", "std")
                },
                **{f"user_metric_{i}": noise(0, 1) for i in range(5)},
            }
            event = Event(
                step=step,
                wall_time=3.0 * step,
                metrics=metrics,
                rng=Rng(seed=1),
                data_slice=DataSlice(batch_size=64),
                model_info=ModelInfo(run_id="long"),
                notes=(),
            )
            file.write(encode(event) + b"\n")


def measure(command: list[str]) -> tuple[float, float]:
    """Wall-clock seconds and the peak of memory in MB of a process; the largest of all so far."""
    begun = time.perf_counter()
    subprocess.run(command, check=False, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3


def main() -> int:
    """Write, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--format", choices=["terminal", "markdown"], default="terminal")
    parser.add_argument("--check", action="store_true", help=f"exit 1 above {MAX_SECONDS:g} s")
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "long_events.jsonl"
        write(path, options.records)
        for what, command in (
            ("reading alone", [sys.executable, "-c", READ, str(path)]),
            ("rldk doctor", [sys.executable, "-m", "rldk", "doctor", str(path), "--format", "json"]),
        ):
            seconds, peak = measure(command)
            speed = options.records / seconds
            rows.append((what, f"{options.records:,}", f"{seconds:.1f}", f"{speed:,.0f}", f"{peak:.0f}"))
    if options.format == "markdown":
        print(f"| {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * (len(COLUMNS) - 1)}")
        print("\n".join(f"| {' | '.join(row)} |" for row in rows))
    else:
        table = Table(*COLUMNS)
        for row in rows:
            table.add_row(*row)
        Console().print(table)
    return int(options.check and seconds > MAX_SECONDS)


if __name__ == "__main__":
    sys.exit(main())

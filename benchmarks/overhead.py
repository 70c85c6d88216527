"""What recording a training step costs: the callback with its defaults, against the floor.

The floor is the least that a record can cost which a kill does not lose: msgspec encodes the same
Event, one `os.write` hands it to the operating system. The long round runs the two in one process and
in turns, a block of steps each, so that the noise of the machine hits both alike. The short round does
the same with the loggers of others that are installed. Needs transformers or TRL; all files are made
in a temporary folder and removed.

`python benchmarks/overhead.py --format markdown` prints the tables of docs/performance.md.
"""

import argparse
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import time
import warnings
from array import array
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import psutil
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from loggers import LOGGERS, PEERS, SEED, Floor, Logger, Loop, Ours, Recording, grpo_logs

BLOCK = 500
"""Steps that a logger takes before it is the next one's turn."""
SHORT_BLOCK = 100
LONG_ROUND = 4
"""Loggers of the long round, none of which has threads at work."""
REST_SECONDS = 0.05
"""Pause after a block of the short round: threads of one logger finish before the next one's turn."""
PACED_STEPS = 400
PACE_SECONDS = 0.005
"""Pause before each step of the paced round, as a short step of a training."""
BURST = 1_000
"""Records logged as fast as can be before the kill."""

MAX_RATIO = 15.0
"""With all rules."""
MAX_RECORDING_RATIO = 3.0
"""Without any."""
MAX_P99_US = 1_000.0
MAX_DRIFT = 1.2
MAX_GROWTH_MB = 5.0
"""Twenty-odd bytes a step would be 2 MB over the long round; less cannot be told from noise."""


class Clock:
    """The times of one logger's steps.

    Args:
        logger: the one that is measured.
        steps: how many steps it will be given; the place for their times is taken at once.
    """

    def __init__(self, logger: Logger, steps: int) -> None:
        self.logger = logger
        self.steps = steps
        self._times = array("Q", bytes(8 * steps))

    def turn(self, first: int, rows: Sequence[dict[str, float]], pause_s: float = 0.0) -> None:
        """Log `rows` as the steps from `first` on, with a pause before each."""
        logger, times, now = self.logger, self._times, time.perf_counter_ns
        for step, row in enumerate(rows, first):
            item = logger.prepare(step, dict(row))
            if pause_s:
                time.sleep(pause_s)
            begun = now()
            logger.log(item)
            times[step - 1] = now() - begun

    def row(self, floor_us: float | None) -> "Row":
        """What the times say; `floor_us` is the floor's median, None for the floor itself."""
        edge = max(self.steps // 20, 1)
        ordered = sorted(self._times)
        median = statistics.median(ordered) / 1e3
        return Row(
            name=self.logger.name,
            steps=self.steps,
            median_us=median,
            ratio=median / (floor_us or median),
            p99_us=ordered[int(0.99 * (self.steps - 1))] / 1e3,
            max_ms=ordered[-1] / 1e6,
            drift=statistics.median(self._times[-edge:]) / statistics.median(self._times[:edge]),
        )


class Row(NamedTuple):
    """One line of a table."""

    name: str
    steps: int
    median_us: float
    ratio: float
    p99_us: float
    max_ms: float
    drift: float

    def cells(self) -> list[str]:
        """The line as text."""
        return [format(value, spec) for value, spec in zip(self, COLUMNS.values(), strict=True)]


COLUMNS = {
    "logger": "", "steps": ",", "median µs": ".1f", "x floor": ".1f",
    "p99 µs": ",.0f", "max ms": ".1f", "last / first 5%": ".2f",
}  # fmt: skip
"""The heads of a Row's fields, and how each is written."""


def main() -> int:
    """Measure, print, and with `--check` judge."""
    options = _options()
    if options.burst:
        _burst(LOGGERS[options.burst], Path(options.folder))
    warnings.simplefilter("ignore", FutureWarning)
    # What loggers print on the way is no part of the tables.
    with redirect_stdout(sys.stderr):
        long, grown, paced, short, absent = _measure(options)
    show = _markdown if options.format == "markdown" else _terminal
    print(_machine(), end="\n\n")
    show([*COLUMNS], [row.cells() for row in long])
    print(
        f"In the last 90% of these steps the process grew by {grown:.1f} MB of resident memory.", end="\n\n"
    )
    print(f"The same with a pause of {PACE_SECONDS * 1e3:.0f} ms before each step:", end="\n\n")
    show([*COLUMNS], [row.cells() for row in paced])
    if short:
        show([*COLUMNS, f"kept of {BURST:,}"], short)
    for line in absent:
        print(line)
    missed = _missed(long[3], long[1], long[2], grown)
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if options.check and missed else 0


def _measure(
    options: argparse.Namespace,
) -> tuple[list[Row], float, list[Row], list[list[str]], list[str]]:
    """The rows of the long round and the MB it grew by, those of the paced one, the lines of the short one,
    who did not start.
    """
    short, absent = [], []
    with (
        TemporaryDirectory(dir=options.folder, ignore_cleanup_errors=True) as temporary,
        Progress(console=Console(stderr=True), auto_refresh=False) as progress,
    ):
        folder = Path(temporary)
        kinds: Sequence[type[Logger]] = (Floor, Recording, Loop, Ours)
        long, grown, _ = _round(kinds, options.steps, BLOCK, folder / "long", progress)
        paced, _, _ = _round(kinds, PACED_STEPS, SHORT_BLOCK, folder / "paced", progress, PACE_SECONDS)
        if options.peer_steps:
            kinds = (Floor, Ours, *PEERS)
            short, _, absent = _round(kinds, options.peer_steps, SHORT_BLOCK, folder / "short", progress)
        lines = [[*row.cells(), _kept(row.name, folder / "burst", progress)] for row in short]
    return long, grown, paced, lines, absent


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--steps", type=int, default=100_000, help="steps of the long round")
    parser.add_argument("--peer-steps", type=int, default=2_000, help="steps of the short round; 0: none")
    parser.add_argument("--format", choices=["terminal", "markdown"], default="terminal")
    parser.add_argument("--check", action="store_true", help="exit 1 if a requirement is missed")
    parser.add_argument("--folder", help="where the temporary folder is made: on the disk to measure")
    parser.add_argument("--burst", choices=LOGGERS, help=argparse.SUPPRESS)
    return parser.parse_args()


def _round(
    kinds: Sequence[type[Logger]],
    steps: int,
    block: int,
    folder: Path,
    progress: Progress,
    pause_s: float = 0.0,
) -> tuple[list[Row], float, list[str]]:
    """Give each logger `steps` steps, in turns of `block`.

    Returns:
        the rows; the MB of resident memory that the process, which keeps nothing else, gained after the
        first tenth of the steps; a line for each logger that did not start.
    """
    clocks, absent = [], []
    for number, kind in enumerate(kinds):
        try:
            clocks.append(Clock(_start(kind, folder / str(number)), steps))
        except Exception as error:
            reason = str(error).partition("\n")[0]
            absent.append(f"{kind.name} did not start: {type(error).__name__}: {reason}")
    process, resident = psutil.Process(), 0
    task = progress.add_task(f"{steps:,} steps of {len(clocks)} loggers", total=steps)
    for first, rows in _blocks(steps, block):
        clocks.append(clocks.pop(0))  # whoever began begins last
        for clock in clocks:
            clock.turn(first, rows, pause_s)
            if len(kinds) > LONG_ROUND:
                time.sleep(REST_SECONDS)
        progress.update(task, advance=len(rows), refresh=True)
        if first <= max(steps // 10, 1):
            resident = process.memory_info().rss
    grown = (process.memory_info().rss - resident) / 1e6
    for clock in clocks:
        clock.logger.close()
    order = [kind.name for kind in kinds]
    clocks.sort(key=lambda clock: order.index(clock.logger.name))
    floor = clocks[0].row(None)
    return [floor, *(clock.row(floor.median_us) for clock in clocks[1:])], grown, absent


def _start(kind: type[Logger], folder: Path) -> Logger:
    if find_spec(kind.needs) is None:
        raise ModuleNotFoundError(f"{kind.needs} is not installed")
    folder.mkdir(parents=True)
    return kind(folder)


def _blocks(steps: int, size: int) -> Iterator[tuple[int, list[dict[str, float]]]]:
    """The rows of all steps, block by block, each with the number of its first step."""
    source = random.Random(SEED)
    for first in range(1, steps + 1, size):
        rows = range(first, min(first + size, steps + 1))
        yield first, [grpo_logs(step, source) for step in rows]


def _kept(name: str, folder: Path, progress: Progress) -> str:
    """How many of `BURST` records can be read when the process is killed as the last call returns."""
    if LOGGERS[name].read is Logger.read:
        return "not read"
    progress.console.print(f"kill -9: {name}")
    folder /= str([*LOGGERS].index(name))
    folder.mkdir(parents=True)
    command = [sys.executable, __file__, "--burst", name, "--folder", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != -signal.SIGKILL:
        return "did not start"
    return f"{LOGGERS[name].read(folder):,}"


def _burst(kind: type[Logger], folder: Path) -> None:
    """Log `BURST` records and die."""
    logger = kind(folder)
    source = random.Random(SEED)
    items = [logger.prepare(step, grpo_logs(step, source)) for step in range(1, BURST + 1)]
    for item in items:
        logger.log(item)
    os.kill(os.getpid(), signal.SIGKILL)


def _missed(ours: Row, recording: Row, loop: Row, grown: float) -> list[str]:
    """The requirements that were not met."""
    limits = [
        ("median, times the floor's", ours.ratio, MAX_RATIO),
        ("median without rules, times the floor's", recording.ratio, MAX_RECORDING_RATIO),
        ("median of rldk.record without rules, times the floor's", loop.ratio, MAX_RECORDING_RATIO),
        ("p99 in µs", ours.p99_us, MAX_P99_US),
        ("median of the last 5% over that of the first", ours.drift, MAX_DRIFT),
        ("memory grown in MB", grown, MAX_GROWTH_MB),
    ]
    return [f"{what} is {value:.2f}, allowed is {limit:g}" for what, value, limit in limits if value > limit]


def _machine() -> str:
    """What was measured with, when and on what."""
    packages = ("rldk", "msgspec", "transformers", "trl", "torch", "tensorboard", "wandb", "trackio")
    versions = [f"{name} {version(name)}" for name in packages if find_spec(name)]
    when = datetime.now(UTC).date()
    cores = f"{psutil.cpu_count()} cores, {platform.system()} {platform.release()}"
    return f"{when}, {_processor()}, {cores}, Python {platform.python_version()}; {', '.join(versions)}."


def _processor() -> str:
    """The processor's name, which `platform` does not tell on Linux."""
    about = Path("/proc/cpuinfo")
    lines = about.read_text().splitlines() if about.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _markdown(columns: list[str], rows: list[list[str]]) -> None:
    print(f"| {' | '.join(columns)} |")
    print(f"| --- |{' ---: |' * (len(columns) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def _terminal(columns: list[str], rows: list[list[str]]) -> None:
    table = Table(columns[0])
    for column in columns[1:]:
        table.add_column(column, justify="right")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)


if __name__ == "__main__":
    sys.exit(main())

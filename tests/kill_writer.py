"""A fork server for kill tests: children write as fast as they can, and are killed at random moments.

Run as `python kill_writer.py FOLDER KILLS MODE [SEED]`; prints one JSON object. It is a process of its own,
so that nothing that a test session holds (threads, torch) is forked. Imports as little as it can.
"""

import json
import random
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from killed_process import Count, cost, count_until_killed
from rldk.recording.writer import JsonlWriter
from rldk.runs import RecordedRun
from rldk.runs.event_reader import BadLine, read_lines
from rldk.schema.event import DataSlice, Event, ModelInfo, Rng, encode
from rldk.schema.files import RunFiles

MODES = {
    "plain": {},
    "parts": {"rotate_mb": 0.02},
    "rotating": {"rotate_mb": 0.02, "compress": True},
    "large parts": {"rotate_mb": 1.0, "compress": True},
    "wide": {},
    "wide rotating": {"rotate_mb": 0.7, "compress": True},
    "buffered": {"flush_interval": 0.001},
}
WIDE = 3_000
"""Metrics of a wide record, which fills some thirty memory pages."""


def line(kill: int, number: int, width: int) -> bytes:
    return encode(
        Event(
            step=number,
            wall_time=1.5,
            metrics={"kill": kill, **{f"a metric of a real name {i}": i / 7 for i in range(width)}},
            rng=Rng(),
            data_slice=DataSlice(),
            model_info=ModelInfo(),
            notes=(),
        )
    )


def width_of(mode: str) -> int:
    return WIDE if mode.startswith("wide") else 12


def write_on(files: RunFiles, kill: int, mode: str, count: Count) -> None:
    """Write records, and count each when `write` has returned."""
    writer = JsonlWriter(files, **MODES[mode])
    width, number = width_of(mode), 0
    while True:
        writer.write(line(kill, number, width))
        number += 1
        count.set(number)


def longest_s(mode: str) -> float:
    """A process is killed at most so long after its first record."""
    return {"plain": 0.006, "large parts": 0.06}.get(mode, 0.1 if mode.startswith("wide") else 0.02)


def is_cut(bad: BadLine, kill: int, returned: int, mode: str) -> bool:
    """Whether a line is the beginning of the record that was being written: Linux ends a `write` that a
    SIGKILL meets at the next page boundary."""
    text = dict(read_lines(bad.path))[bad.number]
    written = range(returned + 1) if mode == "buffered" else [returned]
    width = width_of(mode)
    return not text.endswith(b"\n") and any(line(kill, number, width).startswith(text) for number in written)


def main(folder: Path, kills: int, mode: str) -> None:
    """Kill processes, ten after each other on one run."""
    result: Counter[str] = Counter(kills=kills)
    bad = 0
    for kill in range(kills):
        files = RunFiles(folder, f"run{kill // 10}")
        known = 0 if kill % 10 == 0 else bad
        returned = count_until_killed(partial(write_on, files, kill, mode), longest_s(mode))
        run = RecordedRun(files)
        found = [event.step for event in run if event.metrics["kill"] == kill]
        bad = len(run.bad_lines)
        torn = sum(is_cut(one, kill, returned, mode) for one in run.bad_lines[known:])
        result.update(cost(range(returned), found))
        result.update(returned=returned, torn=torn, unreadable=bad - known - torn)
        if kill % 10 == 9:
            for path in files.parts():
                path.unlink()
    print(json.dumps(result))


if __name__ == "__main__":
    random.seed(sys.argv[4] if len(sys.argv) > 4 else None)
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

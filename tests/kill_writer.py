"""A fork server for kill tests: children write as fast as they can, and are killed at random moments.

Run as `python kill_writer.py FOLDER KILLS MODE [SEED]`; prints one JSON object. It is a process of its own,
so that nothing that a test session holds (threads, torch) is forked. Imports as little as it can.
"""

import json
import mmap
import os
import random
import signal
import sys
import time
from pathlib import Path

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


def write_until_killed(files: RunFiles, counter: mmap.mmap, kill: int, mode: str) -> None:
    writer = JsonlWriter(files, **MODES[mode])
    width, number = width_of(mode), 0
    while True:
        writer.write(line(kill, number, width))
        number += 1
        counter[:8] = number.to_bytes(8, "little")


def one_kill(files: RunFiles, counter: mmap.mmap, kill: int, mode: str) -> int:
    """How many writes had returned when the child was killed."""
    counter[:8] = bytes(8)
    child = os.fork()
    if child == 0:
        try:
            write_until_killed(files, counter, kill, mode)
        finally:
            os._exit(1)
    while not int.from_bytes(counter[:8], "little"):
        time.sleep(0.0002)
    longest = {"plain": 0.006, "large parts": 0.06}.get(mode, 0.1 if mode.startswith("wide") else 0.02)
    time.sleep(random.uniform(0, longest))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return int.from_bytes(counter[:8], "little")


def is_cut(bad: BadLine, kill: int, returned: int, mode: str) -> bool:
    """Whether a line is the beginning of the record that was being written: Linux ends a `write` that a
    SIGKILL meets at the next page boundary."""
    text = dict(read_lines(bad.path))[bad.number]
    written = range(returned + 1) if mode == "buffered" else [returned]
    width = width_of(mode)
    return not text.endswith(b"\n") and any(line(kill, number, width).startswith(text) for number in written)


def main(folder: Path, kills: int, mode: str) -> None:
    counter = mmap.mmap(-1, mmap.PAGESIZE)
    said = {"kills": kills, "returned": 0, "missing": 0, "doubled": 0, "torn": 0, "unreadable": 0, "parts": 0}
    bad = 0
    for kill in range(kills):
        files = RunFiles(folder, f"run{kill // 10}")  # ten attempts on one run
        known = 0 if kill % 10 == 0 else bad
        returned = one_kill(files, counter, kill, mode)
        run = RecordedRun(files)
        found = [event.step for event in run if event.metrics["kill"] == kill]
        bad = len(run.bad_lines)
        cut = [one for one in run.bad_lines[known:] if is_cut(one, kill, returned, mode)]
        said["returned"] += returned
        said["missing"] += len(set(range(returned)) - set(found))
        said["doubled"] += len(found) - len(set(found))
        said["torn"] += len(cut)
        said["unreadable"] += bad - known - len(cut)
        if kill % 10 == 9:
            said["parts"] += len(files.parts())
            for path in files.parts():
                path.unlink()
    print(json.dumps(said))


if __name__ == "__main__":
    random.seed(sys.argv[4] if len(sys.argv) > 4 else None)
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

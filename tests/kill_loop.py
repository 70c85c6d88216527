"""A fork server for kill tests of `rldk.record`: loops that log as fast as they can are killed.

Run as `python kill_loop.py FOLDER KILLS MODE [SEED]`; prints one JSON object. It is a process of its own, so
that nothing that a test session holds (threads, torch) is forked.
"""

import json
import mmap
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import rldk
from rldk.integrations import loop  # noqa: F401 - loaded once, before the forks
from rldk.runs import RecordedRun
from rldk.runs.event_reader import BadLine, read_lines
from rldk.schema.files import RunFiles

MODES = {
    "no rules": {"select": []},
    "all rules": {},
    "resources": {"enable_resource_monitoring": True},
    "parts": {"select": [], "rotate_mb": 0.02, "compress": True},
}
QUIET = {"enable_resource_monitoring": False}
LONGEST_S = 0.03
"""A loop is killed at most so long after its first record."""
FIRST_S = 60.0
"""How long a loop may take to its first record."""


def log_until_killed(folder: Path, counter: mmap.mmap, from_step: int, mode: str) -> None:
    """Log steps, and count each when `log` has returned."""
    options = QUIET | MODES[mode]
    with rldk.record("r", output_dir=folder, algorithm="grpo", from_step=from_step, **options) as run:
        step = from_step
        while True:
            step += 1
            run.log({"reward": step / 7, "kl": 0.01, "entropy": 1.0, "loss": 0.1, "grad_norm": 0.5}, step)
            counter[:8] = step.to_bytes(8, "little")


def one_kill(folder: Path, counter: mmap.mmap, from_step: int, mode: str) -> int:
    """The last step whose `log` had returned when the loop was killed.

    Raises:
        RuntimeError: the loop ended before.
    """
    counter[:8] = bytes(8)
    child = os.fork()
    if child == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the rules say
            log_until_killed(folder, counter, from_step, mode)
        finally:
            os._exit(1)
    give_up = time.monotonic() + FIRST_S
    while not int.from_bytes(counter[:8], "little"):
        if time.monotonic() > give_up or os.waitpid(child, os.WNOHANG)[0]:
            raise RuntimeError("the loop logged nothing")
        time.sleep(0.0002)
    time.sleep(random.uniform(0, LONGEST_S))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return int.from_bytes(counter[:8], "little")


def is_cut(bad: BadLine) -> bool:
    """Whether a line is the beginning of a record: the kill met its `write`, which Linux ends at a page."""
    text = dict(read_lines(bad.path))[bad.number]
    return text.startswith(b'{"step":') and not text.rstrip().endswith(b"}")


def main(folder: Path, kills: int, mode: str) -> None:
    """Kill pairs of loops, the second of which resumes the run of the first."""
    counter = mmap.mmap(-1, mmap.PAGESIZE)
    said = {"kills": kills, "returned": 0, "missing": 0, "doubled": 0, "torn": 0, "unreadable": 0, "runs": 0}
    last = 0
    for kill in range(kills):
        is_new = kill % 2 == 0
        from_step = 0 if is_new else random.randint(1, last)
        last = one_kill(folder, counter, from_step, mode)
        run = RecordedRun(RunFiles(folder, "r"))
        found = [event.step for event in run]
        torn = sum(map(is_cut, run.bad_lines))
        said["returned"] += last - from_step
        said["missing"] += len(set(range(1, last + 1)) - set(found))
        said["doubled"] += len(found) - len(set(found))
        said["torn"] += torn
        said["unreadable"] += run.bad_count - torn
        said["runs"] += is_new
        if not is_new:
            shutil.rmtree(folder)
    print(json.dumps(said))


if __name__ == "__main__":
    random.seed(sys.argv[4] if len(sys.argv) > 4 else None)
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

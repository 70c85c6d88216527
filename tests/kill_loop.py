"""A fork server for kill tests of `rldk.record`: loops that log as fast as they can are killed.

Run as `python kill_loop.py FOLDER KILLS MODE [SEED]`; prints one JSON object. It is a process of its own, so
that nothing that a test session holds (threads, torch) is forked.
"""

import json
import os
import random
import shutil
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import rldk
from killed_process import Count, cost, count_until_killed
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


def log_on(folder: Path, from_step: int, mode: str, count: Count) -> None:
    """Log steps, and count each when `log` has returned."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what the rules say
    options = QUIET | MODES[mode]
    with rldk.record("r", output_dir=folder, algorithm="grpo", from_step=from_step, **options) as run:
        step = from_step
        while True:
            step += 1
            run.log({"reward": step / 7, "kl": 0.01, "entropy": 1.0, "loss": 0.1, "grad_norm": 0.5}, step)
            count.set(step)


def is_cut(bad: BadLine) -> bool:
    """Whether a line is the beginning of a record: the kill met its `write`, which Linux ends at a page."""
    text = dict(read_lines(bad.path))[bad.number]
    return text.startswith(b'{"step":') and not text.rstrip().endswith(b"}")


def main(folder: Path, kills: int, mode: str) -> None:
    """Kill pairs of loops, the second of which resumes the run of the first."""
    result: Counter[str] = Counter(kills=kills)
    last = 0
    for kill in range(kills):
        is_new = kill % 2 == 0
        from_step = 0 if is_new else random.randint(1, last)
        last = count_until_killed(partial(log_on, folder, from_step, mode), LONGEST_S)
        run = RecordedRun(RunFiles(folder, "r"))
        torn = sum(map(is_cut, run.bad_lines))
        result.update(cost(range(1, last + 1), [event.step for event in run]))
        result.update(returned=last - from_step, torn=torn, unreadable=run.bad_count - torn)
        if not is_new:
            shutil.rmtree(folder)
    print(json.dumps(result))


if __name__ == "__main__":
    random.seed(sys.argv[4] if len(sys.argv) > 4 else None)
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])

"""A fork that counts what it has done and is killed at a random moment, for kill_writer.py and kill_loop.py.

Invariant: the count survives the death of the fork, at whatever moment.
"""

import mmap
import os
import random
import signal
import time
from collections.abc import Callable

FIRST_S = 60.0
"""How long a fork may take to its first count."""


class Count:
    """A number that this process and its forks share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, mmap.PAGESIZE)

    def set(self, number: int) -> None:
        self._memory[:8] = number.to_bytes(8, "little")

    def get(self) -> int:
        return int.from_bytes(self._memory[:8], "little")


def count_until_killed(work: Callable[[Count], None], longest_s: float) -> int:
    """Fork a process that does `work` without end, and kill it; what it had counted.

    Args:
        work: sets the count, from 1 on, when something is done.
        longest_s: the fork is killed at most so long after its first count.

    Raises:
        RuntimeError: it ended before it was killed, or counted nothing.
    """
    count = Count()
    child = os.fork()
    if child == 0:
        try:
            work(count)
        finally:
            os._exit(1)
    give_up = time.monotonic() + FIRST_S
    while not count.get():
        if time.monotonic() > give_up or os.waitpid(child, os.WNOHANG)[0]:
            raise RuntimeError("the process did nothing")
        time.sleep(0.0002)
    time.sleep(random.uniform(0, longest_s))
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not os.WIFSIGNALED(status):
        raise RuntimeError("the process ended before it was killed")
    return count.get()


def cost(promised: range, found: list[int]) -> dict[str, int]:
    """How many of the promised steps are missing among those that were found, and how many stand twice."""
    return {"missing": len(set(promised) - set(found)), "doubled": len(found) - len(set(found))}

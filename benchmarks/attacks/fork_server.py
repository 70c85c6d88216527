"""Starts attacked scripts fast: a process that has imported everything forks one for each script.

Invariant: a forked script behaves as `python script.py` would. It runs from the top level of the main
module to the end of the interpreter, so with `sys.excepthook`, `atexit` and the usual exit status; it leads
a session of its own, reads nothing, writes to a file, and finds the signal handlers of a new interpreter.
`start_fresh` starts a new interpreter, to check that.
"""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Self, TypeVar

from attack import PATHS

OUTPUT = "output.txt"
ALONE_WITHIN_S = 10.0
"""How long the processes that a script started may outlive it."""
HANGS = 256
"""A status that no process has: it had to be killed."""
Task = TypeVar("Task")
_HANDLED = (signal.SIGTERM, signal.SIGHUP)


def environment(**more: str) -> dict[str, str]:
    """The environment of a script: one thread, no network, this checkout, and no option of rldk."""
    dropped = ("RLDK_", "PYTHONFAULTHANDLER", "PYTHONHASHSEED")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    fixed = {
        "PYTHONPATH": os.pathsep.join(PATHS),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "TRL_EXPERIMENTAL_SILENCE": "1",
        "PYTHONWARNINGS": "ignore",
    }
    return kept | fixed | more


class Script:
    """A script that runs.

    Args:
        pid: its process.
        folder: its working directory, where its output is.
        wait: waits some seconds for its end; its status, negative for a signal, or None if it still runs.
    """

    def __init__(self, pid: int, folder: Path, wait: Callable[[float], int | None]) -> None:
        self.pid, self.folder = pid, folder
        self.status: int | None = None
        """How it ended; None while it runs."""
        self._wait = wait

    def has_ended(self, within_s: float = 0.0) -> bool:
        """Whether it has ended, or ends within some seconds."""
        if self.status is None:
            self.status = self._wait(within_s)
        return self.status is not None

    def send(self, signum: int) -> None:
        """Send a signal; nothing happens where it has ended."""
        if not self.has_ended():
            os.kill(self.pid, signum)

    def wait_until(self, condition: Callable[[], bool], within_s: float = 60.0) -> bool:
        """Wait for a condition; False where the script ended or the time was over before it."""
        until = time.monotonic() + within_s
        while not condition():
            if self.has_ended(0.0005) or time.monotonic() > until:
                return condition()
        return True

    def end(self, within_s: float = 120.0) -> int:
        """Its status; it is killed where it does not end, and the status is `HANGS`."""
        if not self.has_ended(within_s):
            os.kill(self.pid, signal.SIGKILL)
            self.has_ended(60.0)
            self.status = HANGS
        assert self.status is not None
        return self.status

    def count_outliving(self, within_s: float) -> int:
        """How many processes of its folder still live after some seconds; they are killed."""
        until = time.monotonic() + within_s
        while (found := _processes_in(self.folder)) and time.monotonic() < until:
            time.sleep(0.02)
        for pid in found:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        return len(found)

    def output(self, lines: int = 15) -> str:
        """The end of what it wrote, of long lines the beginning."""
        path = self.folder / OUTPUT
        whole = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(line[:200] for line in whole[-lines:])


class ForkServer:
    """A server of its own; use it as a context. One script runs at a time."""

    def __init__(self) -> None:
        asks, self._asks = os.pipe()
        self._answers, answers = os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, __file__, str(asks), str(answers)],
            env=environment(),
            pass_fds=(asks, answers),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(asks)
        os.close(answers)
        self._text = b""
        self._running: Script | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._running is not None and not self._running.has_ended():
            os.kill(self._running.pid, signal.SIGKILL)
        os.close(self._asks)
        self._process.wait(60)
        os.close(self._answers)

    def start(self, script: str, folder: Path, **arguments: Any) -> Script:
        """Start a function of attacked_scripts.py in a folder."""
        assert self._running is None or self._running.status is not None
        os.write(self._asks, json.dumps([script, str(folder), arguments]).encode() + b"\n")
        pid = self._answer(60.0)
        assert pid is not None
        self._running = Script(pid, folder, self._answer)
        return self._running

    def run(self, script: str, folder: Path, within_s: float = 300.0, **arguments: Any) -> None:
        """Start a function and wait for its end.

        Raises:
            RuntimeError: it ended with another status than 0.
        """
        done = self.start(script, folder, **arguments)
        if done.end(within_s):
            raise RuntimeError(f"{script} ended with {done.status}; its output:\n{done.output()}")

    def _answer(self, within_s: float) -> int | None:
        """The next number that the server writes; None where it takes longer."""
        until = time.monotonic() + within_s
        while b"\n" not in self._text:
            left = max(until - time.monotonic(), 0.0)
            if not select.select([self._answers], [], [], left)[0]:
                return None
            read = os.read(self._answers, 100)
            if not read:
                raise RuntimeError("the fork server has died")
            self._text += read
        number, _, self._text = self._text.partition(b"\n")
        return int(number)


def on_servers(
    tasks: Iterable[Task],
    work: Callable[[ForkServer, Task, random.Random], None],
    folder: Path,
    *,
    seed: int,
    jobs: int,
) -> None:
    """Do all tasks, some at the same time; each gets a server and a source of random numbers.

    Args:
        tasks: what to do, in this order.
        work: does one of them.
        folder: where the scripts find the tiny model, in the folder above their own.
        seed: of the random numbers.
        jobs: how many servers work.
    """
    queue = deque(tasks)

    def serve(number: int, server: ForkServer) -> None:
        source = random.Random(f"{seed} {number}")
        while True:
            try:
                task = queue.popleft()
            except IndexError:
                return
            work(server, task, source)

    with ExitStack() as stack:
        servers = [stack.enter_context(ForkServer()) for _ in range(jobs)]
        if not (folder / "model").exists():
            servers[0].run("save_model", folder)
        with ThreadPoolExecutor(jobs) as pool:
            try:
                for done in [pool.submit(serve, number, server) for number, server in enumerate(servers)]:
                    done.result()
            except BaseException:
                queue.clear()  # what runs comes to its end, and nothing else begins
                raise


def start_fresh(script: str, folder: Path, *, more: dict[str, str] | None = None, **arguments: Any) -> Script:
    """Start a function of attacked_scripts.py in a new interpreter, with more environment variables."""
    process = subprocess.Popen(
        [sys.executable, __file__, json.dumps([script, str(folder), arguments])],
        env=environment(**(more or {})),
    )

    def wait(within_s: float) -> int | None:
        try:
            return process.wait(within_s)
        except subprocess.TimeoutExpired:
            return None

    return Script(process.pid, folder, wait)


def _processes_in(folder: Path) -> list[int]:
    """The processes whose working directory is a folder."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError):
                if os.readlink(f"/proc/{entry.name}/cwd") == str(folder):
                    found.append(int(entry.name))
    return found


def _serve(asks: int, answers: int) -> list[Any]:
    """Fork a process for each request, and answer with its pid and its status; returns in the forked ones."""
    with os.fdopen(asks, "rb", closefd=False, buffering=0) as requests:
        while request := requests.readline():
            pid = os.fork()
            if pid == 0:
                break
            os.write(answers, b"%d\n" % pid)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.write(answers, b"%d\n" % status)
        else:
            sys.exit()
    os.close(asks)
    os.close(answers)
    return json.loads(request)


def _become_a_script(folder: str) -> None:
    """Leave everything of the starter behind."""
    os.setsid()
    os.chdir(folder)
    for signum in _HANDLED:
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    nothing = os.open(os.devnull, os.O_RDONLY)
    output = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for end, number in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(end, number)
    os.close(nothing)
    os.close(output)


if __name__ == "__main__":
    import attacked_scripts

    name, place, given = json.loads(sys.argv[1]) if len(sys.argv) == 2 else _serve(*map(int, sys.argv[1:]))
    _become_a_script(place)
    sys.argv = [name]
    getattr(attacked_scripts, name)(**given)

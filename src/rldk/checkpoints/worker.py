"""The process that analyses the checkpoints of a training.

Invariant: it takes no interpreter lock, no memory and no core from the training, and ends with it, however
the training ends.

Why no thread: a thread of low priority may hold the interpreter's lock while it waits for a core, and then
the training waits too. On two busy cores we measured up to 0.65 s, and 20 ms at normal priority.
"""

import os
import resource
import subprocess
import sys
import threading
import time
from contextlib import suppress

import msgspec

from rldk.checkpoints.analyst import Analyst
from rldk.schema.checkpoint import Analysis

__all__ = ["Worker", "WorkerEndedError"]

NICE = 19
"""The lowest priority: the process runs only when a core is idle."""
MAX_MEMORY = 2_000_000_000
"""Bytes that the process may allocate: twice the need of the largest files that it examines."""
NO_MEMORY = 71
"""Exit code of a process that needed more memory."""
END_SECONDS = 2.0
"""Seconds that the process may take to end."""
_ONE_CORE = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}


class WorkerEndedError(Exception):
    """The process ended during an analysis: it was killed, or a file was too much for it."""


class Worker:
    """Analyses checkpoints one after the other in that process. For one thread.

    If no process can start, it analyses them in its own thread.

    Args:
        base: see `Analyst`.
        memory: bytes that the process may allocate, if the system can limit them (Linux).
    """

    def __init__(self, base: str | None = None, memory: int = MAX_MEMORY) -> None:
        self._base = base
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._own: Analyst | None = None

    @property
    def pid(self) -> int | None:
        """The id of the process; None if there is none."""
        return None if self._process is None else self._process.pid

    def analyse(self, path: str, step: int) -> Analysis:
        """The facts of a checkpoint of `step`, compared with the previous one.

        Raises:
            WorkerEndedError: the process ended; the next call starts another.
        """
        if self._process is None and self._own is None:
            self._start()
        if self._own is not None:
            return self._own.follow(path, step)
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(msgspec.json.encode((path, step)) + b"\n")
            answer = process.stdout.readline()
            return msgspec.json.decode(answer, type=Analysis)
        except (OSError, ValueError, msgspec.DecodeError):  # ValueError: the pipe was closed by `end`
            code = self.end()
            words = f"the process that reads checkpoints ended with code {code}"
            if code == NO_MEMORY:
                words = f"rldk gave up: it needs more than {self._memory / 1e9:g} GB of memory"
            raise WorkerEndedError(words) from None

    def end(self) -> int | None:
        """End the process; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        self._let_go(process)
        with suppress(subprocess.TimeoutExpired):
            return process.wait(0 if process.poll() is not None else END_SECONDS)
        process.kill()
        return process.wait()

    def kill(self) -> None:
        """End the process at once; another thread may wait for its answer."""
        process = self._process
        if process is not None:
            process.kill()

    def disown(self) -> None:
        """In a forked child, close the pipes, so that the process notices the end of its parent."""
        process, self._process = self._process, None
        if process is not None:
            self._let_go(process)
            process.returncode = 0  # not a child of this process: do not wait for it

    def _start(self) -> None:
        paths = os.pathsep.join(os.path.abspath(path) for path in sys.path)
        command = [sys.executable, "-P", "-m", "rldk.checkpoints.worker", self._base or "", str(self._memory)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is for the training
                env=os.environ | _ONE_CORE | {"PYTHONPATH": paths},
            )
        except (OSError, ValueError):
            self._own = Analyst(self._base)
            return
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self._process.pid, NICE)

    @staticmethod
    def _let_go(process: "subprocess.Popen[bytes]") -> None:
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()


def main() -> None:
    """Answer each line of stdin, a path and a step, with a line that holds the analysis."""
    _limit_memory(int(sys.argv[2]))
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    analyst = Analyst(sys.argv[1] or None)
    for line in sys.stdin.buffer:
        path, step = msgspec.json.decode(line, type=tuple[str, int])
        try:
            answer = msgspec.json.encode(analyst.follow(path, step))
        except MemoryError:
            os._exit(NO_MEMORY)
        except Exception as error:
            why = f"{path} could not be analysed ({type(error).__name__}: {error})"
            answer = msgspec.json.encode(Analysis(path=path, step=step, gone=why))
        try:
            sys.stdout.buffer.write(answer + b"\n")
            sys.stdout.buffer.flush()
        except BrokenPipeError:
            os._exit(0)  # the training is gone


def _limit_memory(size: int) -> None:
    """Let allocations beyond `size` bytes fail, so that no file takes the memory of the training.

    RLIMIT_DATA counts private memory alone, and Linux alone enforces it.
    """
    with suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        soft = size if hard == resource.RLIM_INFINITY else min(size, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _leave_with(parent: int) -> None:
    """End with the training, even in the middle of a checkpoint."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(0)


if __name__ == "__main__":
    main()

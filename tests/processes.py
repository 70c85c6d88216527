"""Other processes for tests: Python scripts that say a line and then wait."""

import os
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 300
"""How long a process may take: a machine may be busy, and one that hangs never ends."""


def environment(**variables):
    """That of this process, for a script that imports from `tests/` and computes in one thread."""
    folders = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    path = os.pathsep.join(filter(None, folders))
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"} | variables


def run_script(code, *arguments):
    """Run Python code to its end; the CompletedProcess with its text."""
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


@contextmanager
def script(code, *arguments):
    """Python code in a process that is killed at the end of the block; its stdin and stdout are pipes."""
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def hold_lock(path):
    """A live process that holds the lock at `path`; ready when entered."""
    return script(
        """
        import sys
        from pathlib import Path
        from rldk.lock import RunLock
        lock = RunLock.acquire(Path(sys.argv[1]))
        print("held" if lock else "refused", flush=True)
        sys.stdin.read()
        """,
        path,
    )

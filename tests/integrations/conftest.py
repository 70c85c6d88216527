"""A tiny model on disk, a clean environment, and Python processes of their own."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import tiny
from processes import environment
from warm_python import WarmPython


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Path of a random model of 60,000 parameters and its tokenizer."""
    return tiny.save_model(tmp_path_factory.mktemp("model") / "tiny-qwen")


@pytest.fixture(scope="session", autouse=True)
def _clean_environment() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith("RLDK_") or name == "PYTHONHASHSEED":
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def warm_python(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WarmPython]:
    """A Python that starts scripts with trainings in no time."""
    python = WarmPython(tmp_path_factory.mktemp("warm"))
    yield python
    python.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Starts `script` as a process of its own in `tmp_path`; `launcher` goes before it: `("-m", ...)`."""
    processes: list[subprocess.Popen[str]] = []

    def start_process(
        script: str, *arguments: str, launcher: tuple[str, ...] = ()
    ) -> "subprocess.Popen[str]":
        path = tmp_path / f"script{len(processes)}.py"
        path.write_text(script)
        process = subprocess.Popen(
            [sys.executable, *launcher, str(path)],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start_process
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

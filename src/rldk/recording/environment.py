"""What a run ran on: versions, machine, devices, git, command line.

Invariant: looking changes nothing: no subprocess, no network, and no accelerator is initialised.
What cannot be known is None or absent. The command line is without secrets; the `Recorder` blanks the rest.
"""

import os
import platform
import socket
import sys
from contextlib import suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from rldk._version import __version__
from rldk.recording.exit_hooks import within
from rldk.recording.redaction import redact_command

__all__ = ["environment", "git_state"]

PACKAGES = (
    "torch",
    "transformers",
    "trl",
    "accelerate",
    "datasets",
    "peft",
    "tokenizers",
    "numpy",
    "vllm",
    "deepspeed",
    "bitsandbytes",
    "flash-attn",
    "liger-kernel",
)
"""Packages whose version changes how a training behaves."""
DRIVER_SECONDS = 2.0
"""How long a training waits for NVIDIA's driver, which answers in milliseconds once CUDA is in use."""


def environment() -> dict[str, Any]:
    """A description of this process and its machine, for `{run_id}_run.json`."""
    folder = None
    with suppress(OSError):  # it was deleted
        folder = Path.cwd()
    system = os.uname()
    return {
        "python": platform.python_version(),
        "platform": f"{system.sysname} {system.release} {system.machine}",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "devices": _gpus(),
        "versions": {"rldk": __version__, **_versions()},
        "command": redact_command([sys.executable, *sys.argv]),
        "folder": None if folder is None else str(folder),
        "git": git_state(folder) if folder else {"sha": None, "branch": None},
    }


def git_state(folder: Path) -> dict[str, str | None]:
    """`sha` and `branch` that are checked out in the repository around `folder`; None where unknown.

    Read from the files of `.git` (worktrees and submodules too): 40 µs, where git itself takes 3 ms.
    """
    unknown: dict[str, str | None] = {"sha": None, "branch": None}
    try:
        for parent in (folder, *folder.parents):
            if (parent / ".git").exists():
                return _head(parent / ".git")
    except (OSError, ValueError):  # unreadable, or no text
        pass
    return unknown


def _head(git: Path) -> dict[str, str | None]:
    if git.is_file():
        git = git.parent / git.read_text().removeprefix("gitdir:").strip()
    head = (git / "HEAD").read_text().strip()
    if not head.startswith("ref:"):
        return {"sha": head, "branch": None}
    reference = head.removeprefix("ref:").strip()
    common = git
    with suppress(OSError):
        common = git / (git / "commondir").read_text().strip()
    branch = reference.removeprefix("refs/heads/")
    for git_folder in (git, common):
        with suppress(OSError):
            return {"sha": (git_folder / reference).read_text().strip(), "branch": branch}
    with suppress(OSError):
        for line in (common / "packed-refs").read_text().splitlines():
            sha, _, name = line.partition(" ")
            if name == reference:
                return {"sha": sha, "branch": branch}
    return {"sha": None, "branch": branch}


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def _gpus() -> list[dict[str, Any]]:
    """The NVIDIA GPUs of the machine that answer in time: a driver may hang, and for ever."""
    found: list[dict[str, Any]] = []
    within(DRIVER_SECONDS, partial(_ask_gpus, found))
    return list(found)


def _ask_gpus(found: list[dict[str, Any]]) -> None:
    """Ask through NVML, which leaves CUDA alone, and add each GPU that answers.

    Raises:
        ImportError, NVMLError: there is no driver.
    """
    import pynvml

    pynvml.nvmlInit()
    try:
        for index in range(pynvml.nvmlDeviceGetCount()):
            with suppress(Exception):  # one that is lost leaves the others
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                found.append(
                    {
                        "name": pynvml.nvmlDeviceGetName(handle),
                        "memory_bytes": pynvml.nvmlDeviceGetMemoryInfo(handle).total,
                        "driver": pynvml.nvmlSystemGetDriverVersion(),
                    }
                )
    finally:
        pynvml.nvmlShutdown()

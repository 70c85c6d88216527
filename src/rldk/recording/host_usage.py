"""What the process and its machine take: CPU, memory, swap, disk, read through psutil and cgroups.

Invariant: reading changes nothing; a number that cannot be read is absent, and why is said once.
"""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

__all__ = ["GIB", "HostUsage", "MemoryLimit"]

GIB = 2.0**30

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")


class HostUsage:
    """The process that made it, and its machine.

    Args:
        folder: where the run writes; free space is that of its file system, or of the nearest folder above
            it that exists.
    """

    def __init__(self, folder: Path) -> None:
        self.missing: dict[str, str] = {}
        """What cannot be read, and why."""
        self._folder = folder
        self._process = psutil.Process()
        self._cpu: tuple[float, float] | None = None
        self._limit: MemoryLimit | None = None
        self._readings: Mapping[str, Callable[[], dict[str, float]]] = {
            "the process": self._of_process,
            "memory": _memory,
            "swap": lambda: {"swap_used": psutil.swap_memory().used / GIB},
            "the disk": self._disk,
            "the memory limit": self._of_limit,
        }

    def open(self) -> None:
        """Find the memory limit."""
        self._limit = MemoryLimit.of_process(psutil.virtual_memory().total)

    def read(self) -> dict[str, float]:
        """Every number that can be read, by its name without `resource/`."""
        values: dict[str, float] = {}
        for what, reading in self._readings.items():
            try:
                values |= reading()
            except Exception as error:
                self.missing.setdefault(what, f"cannot read {what}: {error}")
        return values

    def close(self) -> None:
        """Nothing is held open."""

    def _of_process(self) -> dict[str, float]:
        with self._process.oneshot():
            cpu = self._process.cpu_times()
            values = {
                "process_memory": self._process.memory_info().rss / GIB,
                "process_threads": float(self._process.num_threads()),
                "process_open_files": float(self._process.num_fds()),
            }
        now, spent, before = time.monotonic(), cpu.user + cpu.system, self._cpu
        self._cpu = (now, spent)
        if before is not None and now > before[0]:
            values["process_cpu"] = 100 * (spent - before[1]) / (now - before[0])
        return values

    def _disk(self) -> dict[str, float]:
        folder = next((one for one in (self._folder, *self._folder.parents) if one.exists()), self._folder)
        disk = os.statvfs(folder)
        return {
            "disk_free": disk.f_bavail * disk.f_frsize / GIB,
            "disk_total": disk.f_blocks * disk.f_frsize / GIB,
        }

    def _of_limit(self) -> dict[str, float]:
        if self._limit is None:
            return {}
        return {"memory_limit": self._limit.bytes / GIB, "memory_limit_used": self._limit.used() / GIB}


def _memory() -> dict[str, float]:
    memory = psutil.virtual_memory()  # available counts the caches that the kernel would give back
    return {"memory_used": (memory.total - memory.available) / GIB, "memory_total": memory.total / GIB}


class MemoryLimit:
    """The limit that a container, a pod or a job of Slurm has, below what the machine has.

    The kernel kills what goes beyond it, however much memory the machine has left.
    """

    def __init__(self, limit: int, usage: Path, prefix: str) -> None:
        self.bytes = limit
        """The limit."""
        self._usage = usage
        self._files = (f"{prefix}active_file", f"{prefix}inactive_file")

    @classmethod
    def of_process(
        cls, machine: int, own: Path = _OWN_CGROUPS, cgroups: Path = _CGROUPS
    ) -> "MemoryLimit | None":
        """The narrowest limit around this process; None where there is none below `machine` bytes.

        Args:
            machine: the memory of the machine.
            own: lists the process's cgroups.
            cgroups: where their file systems are mounted.
        """
        try:
            lines = [line.split(":", 2) for line in own.read_text().splitlines()]
        except OSError:  # no Linux
            return None
        found: list[MemoryLimit] = []
        for _, controllers, path in (line for line in lines if len(line) == 3):
            if not controllers:
                root, names = cgroups, ("memory.max", "memory.current", "")
            elif "memory" in controllers.split(","):
                root = cgroups / "memory"
                names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
            else:
                continue
            inner = root / path.lstrip("/")  # not visible from within a container: its own is the root
            found += [
                cls(limit, folder / names[1], names[2])
                for folder in (inner, *inner.parents)
                if folder.is_relative_to(root) and (limit := _whole(folder / names[0])) is not None
            ]
        return min((one for one in found if one.bytes < machine), key=lambda one: one.bytes, default=None)

    def used(self) -> int:
        """Bytes that count towards the limit and cannot be dropped: without the caches of files, which a
        checkpoint that was read twice fills, though Kubernetes counts the active ones.

        Raises:
            OSError: it cannot be read.
            ValueError: the files of the cgroup are of another form.
        """
        usage = int(self._usage.read_text())
        for line in (self._usage.parent / "memory.stat").read_text().splitlines():
            name, _, value = line.partition(" ")
            if name in self._files:
                usage -= int(value)
        return max(usage, 0)


def _whole(path: Path) -> int | None:
    """The number in a file; None where it says `max`, or there is no such file."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None

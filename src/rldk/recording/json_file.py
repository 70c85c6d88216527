"""A small JSON file of a run, replaced whole each time.

Invariant: the file is the old one or the new one, never a part; what the disk refuses is tried again until
it is written or something newer is to be.
"""

from pathlib import Path
from typing import Any

import msgspec

from rldk.recording.disk import WAIT_SECONDS, Disk, Job
from rldk.recording.guard import Guard
from rldk.schema.event import escaped
from rldk.schema.files import replacing

__all__ = ["JsonFile"]


class JsonFile:
    """Such a file.

    Args:
        path: where.
        disk: its disk.
        guard: takes a value that JSON cannot hold.
        durably: have each content survive a loss of power before it replaces the one before.
    """

    def __init__(self, path: Path, disk: Disk, guard: Guard, *, durably: bool = False) -> None:
        self.path = path
        """The file."""
        self._disk = disk
        self._guard = guard
        self._durably = durably
        self._job = Job(self._write)
        self._content: bytes | None = None

    @property
    def is_saved(self) -> bool:
        """Whether the disk has all that was saved."""
        return self._content is None

    def save(self, value: Any, wait_s: float = WAIT_SECONDS) -> None:
        """Write `value` as soon as the disk takes it.

        Args:
            value: what JSON can hold.
            wait_s: how long to wait for the disk at most.
        """
        try:
            self._content = msgspec.json.format(msgspec.json.encode(escaped(value)), indent=2) + b"\n"
        except (TypeError, ValueError, RecursionError) as error:  # a configuration of strange values
            self._guard.caught(f"writing {self.path.name}", error)
            return
        self._disk.run(self._job, wait_s)

    def flush(self) -> None:
        """Wait for what was saved without waiting."""
        if not self.is_saved:
            self._disk.run(self._job)

    def give_up(self) -> None:
        """Try no more: the file may soon be another attempt's."""
        self._content = None
        self._disk.forget(self.path)

    def _write(self) -> bool:
        content = self._content
        if content is None:
            return True
        try:
            with replacing(self.path, durably=self._durably) as file:
                file.write(content)
        except OSError as error:
            self._disk.refuse(self.path, error)
            return False
        if self._content is content:
            self._content = None
        self._disk.accept(self.path)
        return True

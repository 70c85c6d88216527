"""Finished parts of an events file: naming them and compressing them.

Invariant: at every moment each record is in exactly one whole file, plain or gzip; a crash while
compressing leaves the plain part (a reader prefers it) and at most a temporary file.
"""

import gzip
import os
import shutil
from contextlib import suppress
from pathlib import Path

from rldk.schema.files import RunFiles, replacing

__all__ = ["compress_parts", "rotate"]


def rotate(files: RunFiles) -> Path:
    """Make the events file the next numbered part, and return that part.

    Raises:
        OSError: the file cannot be renamed; nothing has changed.
    """
    part = files.part(files.last_part() + 1)
    os.rename(files.events, part)
    return part


def compress_parts(files: RunFiles) -> None:
    """Gzip each finished part, one whole gzip member each; a part that cannot be stays plain."""
    for part in files.parts():
        if part == files.events or part.suffix == ".gz":
            continue
        with suppress(OSError):
            packed = part.with_name(f"{part.name}.gz")
            with part.open("rb") as source, replacing(packed) as file:
                with gzip.open(file, "wb") as target:
                    shutil.copyfileobj(source, target)
                file.flush()
                os.fsync(file.fileno())
            part.unlink()

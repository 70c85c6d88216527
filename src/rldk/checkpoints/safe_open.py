"""Reads the small files of a checkpoint, which may hold anything.

Invariant: it calls a file damaged only if no program could read it; a file that is too large, or has an
unknown structure, may be good.
"""

import json
import os
import re
import time
from math import isfinite
from typing import Any, NamedTuple, TypeVar

import msgspec

__all__ = [
    "MAX_JSON",
    "TimeLimit",
    "Unread",
    "UnreadableError",
    "finite",
    "integer",
    "opened",
    "read_json",
]

MAX_JSON = 16_000_000
"""Bytes up to which it builds all objects of a JSON file: they take 24 times as many in memory."""
MAX_SECONDS = 10.0
"""CPU seconds for one file, without those that read its tensors."""

_NO_JSON = re.compile(rb"[NI-](?<=[:,\[\s].)(?:aN|nfinity|Infinity)(?=[,\]}\s])")
"""NaN, Infinity and -Infinity, as Python's `json.dump` writes them; with the set first it is fast."""

Content = TypeVar("Content")


class Unread(NamedTuple):
    """Why a file was not read."""

    why: str
    """The reason, as text that follows the file's name."""
    damaged: bool = True
    """False if it may be good."""


class UnreadableError(Exception):
    """The file cannot be examined; `args[0]` is the reason, as text.

    Args:
        words: why.
        damaged: whether it is broken, and not only of an unknown kind.
    """

    def __init__(self, words: str, *, damaged: bool) -> None:
        super().__init__(words)
        self.damaged = damaged


class TimeLimit:
    """How long one file may occupy this thread, in seconds of its CPU: other processes do not count."""

    def __init__(self, seconds: float = MAX_SECONDS) -> None:
        self._seconds = seconds
        self._until = time.thread_time() + seconds
        self._look_at = time.monotonic() + seconds  # no earlier: `thread_time` is a system call

    def check(self) -> None:
        """Return while there is time.

        Raises:
            UnreadableError: the time is over.
        """
        if time.monotonic() < self._look_at:
            return
        left = self._until - time.thread_time()
        if left <= 0:
            words = f"rldk gave up after {self._seconds:g} s: its content takes too long"
            raise UnreadableError(words, damaged=False)
        self._look_at = time.monotonic() + left


def opened(path: str, _: int = 0) -> int:
    """Open a file for reading; it never waits, even if the path is a pipe.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def read_json(
    path: str, kind: type[Content], limit: int = MAX_JSON, objects: int | None = None
) -> tuple[Content | None, Unread | None]:
    """The content of a JSON file, and why it was not read; None and None if it does not exist.

    Args:
        path: the file.
        kind: what it should hold.
        limit: bytes up to which it is read.
        objects: JSON objects up to which it is read; None: any number that fits in `limit`.
    """
    try:
        with open(path, "rb", opener=opened) as file:
            raw = file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, Unread(f"it cannot be read ({error.strerror or error})")
    much = _too_much(raw, limit, objects)
    if much is not None:
        return None, Unread(f"it has more than {much}: not read", damaged=False)
    try:
        return _decoded(raw, kind), None
    except msgspec.ValidationError as error:
        return None, Unread(f"it is of another shape: not read ({error})"[:200], damaged=False)
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        return None, Unread(f"it is cut short or no JSON ({error})"[:200])


def _too_much(raw: bytes, limit: int, objects: int | None) -> str | None:
    """The exceeded limit of `read_json`, as text; None if there is none."""
    if len(raw) > limit:
        return f"{limit:,} bytes"
    return f"{objects:,} objects" if objects is not None and raw.count(b"{") > objects else None


def _decoded(raw: bytes, kind: type[Content]) -> Content:
    """The content of JSON, or of what Python accepts as JSON.

    Raises:
        msgspec.ValidationError: it holds something else.
        ValueError, RecursionError, msgspec.DecodeError: it is no JSON.
    """
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        strict = error
    try:
        if len(raw) > MAX_JSON:  # its objects would take up to 24 times its size
            return msgspec.json.decode(_NO_JSON.sub(b"null", raw), type=kind)
        content = json.dumps(json.loads(raw, parse_constant=lambda _: None), ensure_ascii=False)
        return msgspec.json.decode(content.encode(errors="replace"), type=kind)
    except msgspec.ValidationError:
        raise
    except (ValueError, RecursionError, msgspec.DecodeError):
        raise strict from None


def integer(value: Any) -> int | None:
    """A value of a file as a whole number; None if it is something else, or too large for 64 bits."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and abs(value) < 1 << 63 else None


def finite(value: Any) -> float | None:
    """A value of a file as a number; None if it is something else, or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if isfinite(value) else None
    except OverflowError:
        return None

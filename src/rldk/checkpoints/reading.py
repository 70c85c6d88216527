"""Reading the small files of a checkpoint, which may hold anything.

Invariant: a file is called damaged only where no program could read it; what is too large, or of another
shape than is known here, may be good.
"""

import json
import os
import re
from math import isfinite
from typing import Any, NamedTuple, TypeVar

import msgspec

__all__ = ["MAX_JSON", "Unread", "finite", "integer", "opened", "read_json"]

MAX_JSON = 64_000_000
"""Bytes of a JSON file that is read; a tokenizer.json has up to 35 MB."""

_NO_JSON = re.compile(rb"[NI-](?<=[:,\[\s].)(?:aN|nfinity|Infinity)(?=[,\]}\s])")
"""NaN, Infinity and -Infinity, as Python's `json.dump` writes them; with the set first it is fast."""

Told = TypeVar("Told")


class Unread(NamedTuple):
    """Why a file was not read."""

    why: str
    """In words that follow its name."""
    damaged: bool = True
    """False: it may be good."""


def opened(path: str, _: int = 0) -> int:
    """A descriptor to read a file. A pipe under its name is no reason to wait for ever.

    Raises:
        OSError: it cannot be opened.
    """
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)


def read_json(path: str, kind: type[Told], limit: int = MAX_JSON) -> tuple[Told | None, Unread | None]:
    """A JSON file, and why it was not read; None and None where there is none.

    Args:
        path: the file.
        kind: what it should hold.
        limit: bytes from which on it is not read.
    """
    try:
        with open(path, "rb", opener=opened) as file:
            raw = file.read(min(os.fstat(file.fileno()).st_size, limit) + 1)
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, Unread(f"it cannot be read ({error.strerror or error})")
    if len(raw) > limit:
        return None, Unread(f"it has more than {limit:,} bytes: not read", damaged=False)
    try:
        return _decoded(raw, kind), None
    except msgspec.ValidationError as error:
        return None, Unread(f"it is of another shape: not read ({error})"[:200], damaged=False)
    except (ValueError, RecursionError, msgspec.DecodeError) as error:
        return None, Unread(f"it is cut short or no JSON ({error})"[:200])


def _decoded(raw: bytes, kind: type[Told]) -> Told:
    """What JSON holds, or what Python takes for JSON.

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
        if len(raw) > MAX_JSON:  # the objects of all of it would take ten times its size
            return msgspec.json.decode(_NO_JSON.sub(b"null", raw), type=kind)
        return msgspec.convert(json.loads(raw), kind, strict=False)
    except msgspec.ValidationError:
        raise
    except (ValueError, RecursionError, msgspec.DecodeError):
        raise strict from None


def integer(value: Any) -> int | None:
    """What a file holds where a whole number belongs; None where it is something else, or of no 64 bits."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and abs(value) < 1 << 63 else None


def finite(value: Any) -> float | None:
    """What a file holds where a number belongs; None where it is something else, or not finite."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if isfinite(value) else None
    except OverflowError:
        return None

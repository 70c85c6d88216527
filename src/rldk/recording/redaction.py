"""Blanking secrets before a configuration is written down.

Invariant: no value under a name that speaks of a secret, and no string that looks like a token of a
known service, leaves `redact` readable.
"""

import re
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

__all__ = ["BLANK", "redact", "redact_command"]

BLANK = "<redacted>"

_MAX_DEPTH = 12

_NAMES = re.compile(
    r"(?i)(^|_|-|\.)(token|secret|password|passwd|(api|access|private|secret)[_-]?key|auth|authorization"
    r"|credentials?)($|_|-|\.)"
)
_COUNTS = re.compile(
    r"(?i)tokens|token_id|token_level|token_accuracy|(eos|pad|bos|unk|mask|stop|image)_token"
)
_TOKENS = re.compile(
    r"\b(hf_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|AKIA[0-9A-Z]{16}"
    r"|xox[abprs]-[A-Za-z0-9-]{10,}|AIza[0-9A-Za-z_-]{30,})|(?<=Bearer )\S+"
)
_URL_LOGIN = re.compile(r"(?<=://)[^/@\s]+@")


def redact(value: Any, name: str = "", depth: int = 0) -> Any:  # noqa: PLR0911 - one a kind
    """`value` as plain data for JSON, its secrets blanked; what is no plain data becomes its text."""
    if value is not None and not isinstance(value, bool) and _NAMES.search(name) and not _COUNTS.search(name):
        return BLANK
    if isinstance(value, str):
        return _URL_LOGIN.sub(f"{BLANK}@", _TOKENS.sub(BLANK, value))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float):  # numpy's float64 is a float, and no JSON encoder's
        return int(value) if isinstance(value, int) else float(value)
    if isinstance(value, Real):
        return float(value)
    if depth > _MAX_DEPTH:
        return "<nested too deep>"
    if isinstance(value, Mapping):
        return {redact(str(key)): redact(item, str(key), depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact(item, name, depth + 1) for item in value]
    return redact(_text(value), name)


def _text(value: Any) -> str:
    try:
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"


def redact_command(arguments: Sequence[str]) -> list[str]:
    """A command line with the values of secret options blanked: `--token X` and `--token=X`."""
    safe: list[str] = []
    secret = False
    for argument in arguments:
        option, equals, _ = argument.partition("=")
        if secret and not argument.startswith("-"):
            safe.append(BLANK)
            secret = False
            continue
        named = option.startswith("-") or bool(equals)
        secret = named and redact("x", option.lstrip("-")) == BLANK
        if secret and equals:
            safe.append(f"{option}={BLANK}")
            secret = False
        else:
            safe.append(redact(argument))
    return safe

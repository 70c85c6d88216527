"""Reads dicts as Python or JSON prints them, with numbers of numpy and torch in them.

Invariant: it evaluates no text, and reads each character a bounded number of times.
"""

import json
import re
from typing import Any

__all__ = ["MAX_DICT", "OPEN", "braced", "parsed", "scalar", "scattered_numbers"]

MAX_DICT = 1 << 16
"""Characters of a printed dict; a longer dict is no record."""
OPEN = re.compile(r"\{\s*+['\"]")
"""The beginning of a dict that is not empty, and has text as its first key."""

_STRING = r"(?:'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\")"


def _braces(depth: int) -> str:
    # Possessive and without a choice at any character: an unclosed dict fails in one pass.
    inner = f"|{_braces(depth - 1)}" if depth else ""
    return rf"\{{(?:[^{{}}'\"]++|{_STRING}{inner})*+\}}"


_CLOSED = re.compile(_braces(3), re.DOTALL)
_PAIR = re.compile(
    rf"\s*+(?P<key>{_STRING})\s*+:\s*+"
    rf"(?:(?P<text>{_STRING})|(?P<dict>{_braces(2)})|(?P<list>\[[^\[\]]*+\])"
    r"|(?P<bare>[^,(){}\[\]'\"]++(?:\([^()]*+\))?+))\s*+(?:,|(?P<end>\}))",
    re.DOTALL,
)
_WRAPPED = re.compile(
    r"(?:(?:np|numpy|torch)\.\w+|tensor|array)\(\s*+(?:\[([^\[\],]+)\]|([^\[\],]+))(?:,.*)?\)"
)
_QUOTED_PAIR = re.compile(
    r"""(['"])(?P<key>[A-Za-z_](?:[\w/.()@%*-]|[ ](?![ ])){0,200})\1\s{0,40}:\s{0,40}"""
    r"""(?P<value>(['"]?)[-+]?(?:\d[\d.]{0,40}(?:e[-+]?\d{1,4})?|nan|inf(?:inity)?)\4)(?=[\s,}\]]|$)""",
    re.IGNORECASE,
)
"""A number with its name, wherever it lies."""
_WORDS = {"None": None, "null": None, "True": True, "true": True, "False": False, "false": False}


def braced(line: str, start: int) -> str | None:
    """The text from the brace at `start` to its closing brace; None if it is not closed."""
    found = _CLOSED.match(line, start, start + MAX_DICT)
    return found[0] if found else None


def parsed(text: str) -> dict[str, Any] | None:
    """The dict that Python or JSON printed; None if the text is neither."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = _python_dict(text)
    return values if isinstance(values, dict) else None


def _python_dict(text: str) -> dict[str, Any] | None:
    values: dict[str, Any] = {}
    at = 1
    while pair := _PAIR.match(text, at):
        at = pair.end()
        if pair["text"] is not None:
            value: Any = _unquoted(pair["text"])
        elif pair["dict"] is not None:
            value = _python_dict(pair["dict"])
        else:
            value = pair["list"] or scalar(pair["bare"])
        values[_unquoted(pair["key"])] = value
        if pair["end"]:
            return values
    return values if text[at:].strip() == "}" else None


def _unquoted(text: str) -> str:
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    try:
        return inner.encode("latin-1", "backslashreplace").decode("unicode_escape")
    except ValueError:
        return inner


def scalar(text: str) -> Any:
    """A printed number, also as `np.float64(0.5)` or `tensor(0.5)`; any other text unchanged."""
    text = text.strip()
    if wrapped := _WRAPPED.fullmatch(text):
        text = (wrapped[1] or wrapped[2]).strip()
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def scattered_numbers(text: str) -> dict[str, float]:
    """The numbers of a piece of a dict, by their names: a paste may lack a brace, or begin within a dict."""
    found: dict[str, float] = {}
    for pair in _QUOTED_PAIR.finditer(text):
        value = scalar(pair["value"].strip("'\""))
        if isinstance(value, int | float):
            found.setdefault(pair["key"], value)
    return found

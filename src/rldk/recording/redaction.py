"""Blanking secrets before anything is written down: configurations, command lines, texts.

Invariant: what leaves here holds no value under a name that speaks of a secret, and no string of the shape of
a known service's token; it is plain data for JSON; nothing raises, and work is bounded.
"""

import argparse
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from numbers import Real
from typing import Any

from rldk.recording.secret_names import (
    NAME_FIELDS,
    VALUE_FIELDS,
    Secrecy,
    looks_random,
    secrecy,
    secrecy_of_named,
)
from rldk.recording.secret_text import BLANK, is_value_of_option, redact_text, shortened

__all__ = ["BLANK", "fields_of", "redact", "redact_command", "redact_text", "redact_texts", "shortened"]

MAX_DEPTH = 12
MAX_VALUES = 100_000
"""Values of one structure that are looked at."""
MAX_CHARS = 1_000_000
"""Characters of one text that are kept."""

MAX_ATTRIBUTES = 100
"""Attributes of an object in which its secrets are looked for."""
_MODULE = "torch.nn.modules.module.Module"
_SHORT_OPTIONS = ("-p", "-P")
"""Options that are a password to some programs, and a port or a path to others."""


def redact(value: Any, name: str = "") -> Any:
    """`value` as plain data for JSON, its secrets blanked; an object becomes its fields or its text.

    A torch module, and an array that may lie on a device, becomes the name of its type: nothing is computed.

    Args:
        value: anything.
        name: what it is called.
    """
    return _Redaction().of(value, secrecy(name))


def redact_texts(value: Any) -> Any:
    """Plain data of rldk's own, whose names are those of metrics, with the secrets of its texts blanked."""
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, dict):
        return {key: redact_texts(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redact_texts(item) for item in value]
    return value


def redact_command(arguments: Sequence[str]) -> list[str]:
    """A command line with the values of secret options blanked: `--token X`, `--token=X`, `token=X`.

    All values of such an option are blanked, up to the next option or script; a secret may hold `=`.
    """
    safe: list[str] = []
    level, values = Secrecy.NONE, 0
    for argument in arguments:
        if level is not Secrecy.NONE and is_value_of_option(argument, values):
            values += 1
            is_secret = level is not Secrecy.RANDOM or looks_random(argument)
            safe.append(BLANK if is_secret else _assignment(argument))
            continue
        level, values = _secrecy_of_option(argument), 0
        safe.append(_assignment(argument))
    return safe


def _secrecy_of_option(argument: str) -> Secrecy:
    """What an argument makes of the arguments behind it."""
    if argument in _SHORT_OPTIONS:
        return Secrecy.RANDOM
    if argument.startswith("-"):
        return Secrecy.NONE if "=" in argument else secrecy(argument)
    if _is_word(argument) and secrecy(argument) is not Secrecy.NONE:  # `--set token VALUE`
        return Secrecy.RANDOM
    return Secrecy.NONE


def _assignment(argument: str) -> str:
    """An argument, its value blanked whole where its name is secret: a value may hold blanks."""
    name, equals, value = argument.partition("=")
    level = secrecy(name) if equals and not any(c in name for c in " :\"'{[(/") else Secrecy.NONE
    if value and (
        level is Secrecy.ALL
        or (level is Secrecy.TEXTS and not _is_number(value))
        or (level is Secrecy.RANDOM and looks_random(value))
    ):
        return f"{name}={BLANK}"
    return _bounded_text(argument)


def _is_word(text: str) -> bool:
    return len(text) <= 64 and text.replace("_", "").replace("-", "").replace(".", "").isalpha()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Redaction:
    """One pass over one structure: it knows what it is within, and how much it has seen."""

    def __init__(self) -> None:
        self._within: set[int] = set()
        self._left = MAX_VALUES

    def of(self, value: Any, level: Secrecy) -> Any:  # noqa: PLR0911 - one a kind
        """`value` of a name whose values are so secret."""
        self._left -= 1
        if self._left < 0:
            return "<left out: too many values>"
        if value is None or isinstance(value, bool):
            return value
        if level is Secrecy.ALL:
            return BLANK
        if isinstance(value, str):
            return self._text(value, level)
        if isinstance(value, Real):
            return _number(value)
        if isinstance(value, bytes | bytearray):
            return self._text(bytes(value[:MAX_CHARS]).decode(errors="backslashreplace"), level)
        if id(value) in self._within:
            return "<within itself>"
        if len(self._within) > MAX_DEPTH:
            return "<nested too deep>"
        self._within.add(id(value))
        try:
            return self._nested(value, level)
        except Exception:  # an object can be anything
            return f"<{type(value).__name__}>"
        finally:
            self._within.discard(id(value))

    def _nested(self, value: Any, level: Secrecy) -> Any:
        if isinstance(value, Mapping):
            return self._mapping(value.items(), level)
        found = fields_of(value)
        if found is not None:
            return self._mapping(found.items(), level)
        if isinstance(value, list | tuple | set | frozenset):
            return self._sequence([*value], level)
        return self._text(self._own_text(value), level)

    def _mapping(self, items: Iterable[tuple[Any, Any]], level: Secrecy) -> dict[str, Any]:
        items = [(_text(key), item) for key, item in items]
        named = Secrecy.NONE
        for key, item in items:
            if key.lower() in NAME_FIELDS and isinstance(item, str | bytes):
                named = _stricter(named, secrecy_of_named(_text(item)))
        safe: dict[str, Any] = {}
        for key, item in items:
            own = _stricter(secrecy(key), level, named if key.lower() in VALUE_FIELDS else level)
            safe[redact_text(key)] = self.of(item, own)
            if self._left < 0:
                break
        return safe

    def _sequence(self, items: list[Any], level: Secrecy) -> list[Any]:
        if len(items) == 2 and isinstance(items[0], str | bytes):
            named = secrecy_of_named(_text(items[0]))
            if named is Secrecy.ALL:
                return [self.of(items[0], level), self.of(items[1], named)]
        if level is Secrecy.NONE and any(isinstance(item, str) and item.startswith("-") for item in items):
            return self._command(items)
        safe = []
        for item in items:
            safe.append(self.of(item, level))
            if self._left < 0:
                break
        return safe

    def _command(self, items: list[Any]) -> list[Any]:
        """A list of options: what is no text in it is taken for its text where it is a value of one."""
        texts = redact_command([item if isinstance(item, str) else _text(item)[:MAX_CHARS] for item in items])
        return [
            text if isinstance(item, str) or text == BLANK else self.of(item, Secrecy.NONE)
            for item, text in zip(items, texts, strict=True)
        ]

    def _text(self, text: str, level: Secrecy) -> str:
        if (level is Secrecy.TEXTS and text) or (level is Secrecy.RANDOM and looks_random(text)):
            return BLANK
        return _bounded_text(text)

    def _own_text(self, value: Any) -> str:
        """What an object says of itself, without the values of its secret attributes."""
        text = _text(value)
        for secret in _secrets_of(value):
            text = text.replace(secret, BLANK)
        return text


def _bounded_text(text: str) -> str:
    return redact_text(text) if len(text) <= MAX_CHARS else f"{redact_text(shortened(text, MAX_CHARS))}..."


def _stricter(*levels: Secrecy) -> Secrecy:
    return next(level for level in Secrecy if level in levels)


def fields_of(value: Any) -> dict[str, Any] | None:
    """The fields of an object that is a record; None where it is none."""
    kind = type(value)
    if isinstance(value, type):
        return None
    if is_dataclass(value):
        names: Iterable[str] = [field.name for field in fields(value)]
    elif isinstance(value, types.SimpleNamespace | argparse.Namespace) or hasattr(kind, "model_fields"):
        return {**vars(value), **(getattr(value, "__pydantic_extra__", None) or {})}
    elif hasattr(kind, "__attrs_attrs__"):
        names = [attribute.name for attribute in kind.__attrs_attrs__]
    elif hasattr(kind, "__struct_fields__"):
        names = kind.__struct_fields__
    elif isinstance(value, tuple) and hasattr(kind, "_fields"):
        names = kind._fields
    else:
        return None
    return {name: getattr(value, name, None) for name in names}


def _secrets_of(value: Any, depth: int = 0) -> list[str]:
    """Texts under the secret names of an object's attributes, and of theirs."""
    attributes = value if isinstance(value, dict) else _attributes(value)
    found: list[str] = []
    for name, item in [*attributes.items()][:MAX_ATTRIBUTES]:
        if not isinstance(item, str):
            found += _secrets_of(item, depth + 1) if depth < 3 else []
        elif len(item) >= 4 and secrecy(_text(name)) in (Secrecy.ALL, Secrecy.TEXTS):
            found.append(item)
    return found


def _attributes(value: Any) -> dict[str, Any]:
    attributes = dict(getattr(value, "__dict__", None) or {})
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            attributes.setdefault(slot, getattr(value, slot, None))
    return attributes


def _number(value: Real) -> Any:
    try:
        return int(value) if isinstance(value, int) else float(value)  # no number of numpy's
    except Exception:
        return _text(value)


def _is_model_or_array(value: Any) -> bool:
    """Whether the text of a value is long or waits for a device: a torch module, or an array outside numpy.

    Its class alone is asked: an attribute of the value may compute something.
    """
    kind = type(value)
    if hasattr(kind, "device") and hasattr(kind, "dtype"):
        return not kind.__module__.startswith("numpy")
    return any(f"{base.__module__}.{base.__name__}" == _MODULE for base in kind.__mro__)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    try:
        if _is_model_or_array(value):
            return f"<{type(value).__name__}>"
        return str(value)
    except Exception:
        return f"<{type(value).__name__}>"

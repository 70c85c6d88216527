"""Converts the values of one `logs` dict: numbers for `Event.metrics`, notes for the rest.

Owns the rule that nothing logged is dropped or invented. Invariant: `measure` raises for no input,
never changes it, never waits for a device, and every finite number in it is in the result.
"""

import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from numbers import Number as AbstractNumber
from numbers import Real
from typing import Any

from rldk.schema.event import Number, nonfinite_note

__all__ = ["joined", "measure"]

_MAX_TEXT = 200
_MAX_DEPTH = 8


def measure(
    logs: Mapping[Any, Any], canonical: Callable[[str], str]
) -> tuple[dict[str, Number | None], list[str]]:
    """The metrics and the notes of one `logs` dict.

    Args:
        logs: the trainer's log with any keys and values; it is only read.
        canonical: returns the name to record for a key (`Dialect.canonical`).

    Returns:
        metrics: every number by name. Booleans become 1 and 0; tensors and arrays of one element become that
            number, unless they are on an accelerator, where reading would make the training wait; nested
            dicts are flattened with `/`. NaN, infinities and None become None.
        notes: a note for each value that is not a finite number: `nonfinite:name=nan`, `text:name=...`,
            `not_recorded:name=why`.

    Two keys never share a name. If two keys have the same canonical name, or a key is another key's canonical
    name, the trainer's own names are kept.
    """
    quick = _all_finite_floats(logs, canonical)
    if quick is not None:
        return quick, []
    metrics: dict[str, Number | None] = {}
    notes: list[str] = []
    for key, value in logs.items():
        own = _text(key)
        name = canonical(own)
        if name != own and (name in metrics or name in logs):
            name = own
        if name in metrics:
            name = _free(name, metrics)
        if type(value) is float and math.isfinite(value):
            metrics[name] = value
        else:
            _record(name, value, canonical, metrics, notes, (id(logs),))
    return metrics, notes


def joined(metrics: dict[str, Number | None], measured: Mapping[str, float]) -> dict[str, Number | None]:
    """The metrics of a log together with rldk's own measurements; for a name in both, the logged value
    wins.
    """
    both: dict[str, Number | None] = {**metrics, **measured}
    return both if len(both) == len(metrics) + len(measured) else {**both, **metrics}


def _all_finite_floats(
    logs: Mapping[Any, Any], canonical: Callable[[str], str]
) -> dict[str, Number | None] | None:
    """The metrics of a log of finite floats with distinct names, as nearly all logs are; else None."""
    values = logs.values()
    if [*map(type, values)].count(float) != len(values) or not math.isfinite(sum(values)):
        return None  # also where the sum overflows: the slow path is right for every log
    try:
        names = _distinct_names((*logs,), canonical)
    except Exception:  # keys of other types may compare in any way
        return None
    return dict(zip(names, values)) if names else None  # noqa: B905 - both of one dict


@lru_cache(maxsize=64)
def _distinct_names(keys: tuple[Any, ...], canonical: Callable[[str], str]) -> tuple[str, ...]:
    """The canonical names of all keys. Empty where a key is not a string of whole characters, two keys have
    the same name, or a name is another key.
    """
    if {*map(type, keys)} != {str} or [*map(_text, keys)] != [*keys]:
        return ()
    names = tuple(map(canonical, keys))
    renamed = {name for key, name in zip(keys, names, strict=True) if name != key}
    return names if len({*names}) == len(keys) and renamed.isdisjoint(keys) else ()


def _record(
    name: str,
    value: Any,
    canonical: Callable[[str], str],
    metrics: dict[str, Number | None],
    notes: list[str],
    within: tuple[int, ...],
) -> None:
    """Add one value of any type to the metrics or the notes; a value that raises becomes a note.

    `within` holds the ids of the dicts around it, so that a dict that contains itself ends.
    """
    try:
        if isinstance(value, Mapping) and len(within) <= _MAX_DEPTH and id(value) not in within:
            for key, item in value.items():
                inner = canonical(f"{name}/{_text(key)}")
                if inner in metrics:
                    inner = _free(inner, metrics)
                _record(inner, item, canonical, metrics, notes, (*within, id(value)))
        elif value is None:
            metrics[name] = None
            notes.append(nonfinite_note(name, None))
        elif isinstance(value, int):
            float(value)  # beyond the range of a float, no JSON reader could hold it
            metrics[name] = int(value)
        elif isinstance(value, str):
            notes.append(f"text:{name}={value[:_MAX_TEXT]}")
        elif isinstance(value, float | AbstractNumber) and not hasattr(value, "dtype"):
            _record_float(name, float(value), metrics, notes)  # type: ignore[arg-type]
        elif hasattr(value, "item") and hasattr(value, "dtype"):
            _record_array(name, value, canonical, metrics, notes)
        else:
            notes.append(f"not_recorded:{name}={_kind(value)}")
    except Exception as error:
        metrics.pop(name, None)
        notes.append(f"not_recorded:{name}={_kind(value)} ({type(error).__name__})")


def _record_float(name: str, value: float, metrics: dict[str, Number | None], notes: list[str]) -> None:
    if math.isfinite(value):
        metrics[name] = value
    else:
        metrics[name] = None
        notes.append(nonfinite_note(name, value))


def _record_array(
    name: str,
    value: Any,
    canonical: Callable[[str], str],
    metrics: dict[str, Number | None],
    notes: list[str],
) -> None:
    """Add a torch tensor, or a numpy array or scalar, recognised by `item` and `dtype` without an import."""
    device = getattr(getattr(value, "device", None), "type", "cpu")
    if device != "cpu":
        notes.append(f"not_recorded:{name}={_kind(value)} on {device}; log float(value) instead")
    elif math.prod(value.shape) != 1:
        notes.append(f"not_recorded:{name}={_kind(value)} of shape {tuple(value.shape)}")
    else:
        number = value.item()
        if hasattr(number, "dtype") and isinstance(number, Real):
            number = float(number)  # a numpy number wider than a float is its own item
        if hasattr(number, "dtype") or isinstance(number, Mapping):
            notes.append(f"not_recorded:{name}={_kind(value)} of {_kind(number)}")
        else:
            _record(name, number, canonical, metrics, notes, ())


def _free(name: str, taken: Mapping[str, Any]) -> str:
    """`name` with a number that makes it unique in `taken`."""
    number = 2
    while f"{name}#{number}" in taken:
        number += 1
    return f"{name}#{number}"


def _kind(value: Any) -> str:
    """A value's type, and its length if it has one; its `repr` could be slow, or raise."""
    kind = type(value)
    sized = kind in (list, tuple, set, bytes, dict)
    return f"{kind.__name__} of {len(value)}" if sized else kind.__name__


def _text(key: Any) -> str:
    """A key as text that UTF-8 can hold; lone surrogates are escaped."""
    try:
        text = key if type(key) is str else str(key)[:_MAX_TEXT]
    except Exception:
        return f"<{type(key).__name__}>"
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()

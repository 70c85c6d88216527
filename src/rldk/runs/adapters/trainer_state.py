"""Reads transformers' trainer_state.json: a file, a bare list of its entries, or a folder of checkpoints.

Invariant: each entry of the history becomes one row, in order. In a folder it reads only the newest state,
which holds the history of all others. In a damaged file it reads the entries before the damage. In a piece of
a history, as people paste it, the first and the last entry may lack keys.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row, text_lines
from rldk.runs.adapters.fields import take
from rldk.runs.adapters.log_values import whole_number
from rldk.runs.adapters.printed_dicts import scattered_numbers
from rldk.runs.line_reader import BadLine

__all__ = ["ADAPTER"]

STATE = "trainer_state.json"

_CHECKPOINT = re.compile(r"checkpoint-([0-9]+)")
_HISTORY = re.compile(r'\s*\[|\s*\{.*?"log_history"\s*:\s*\[', re.DOTALL)
_LIST = re.compile(r"\s*\[\s*\{")
_METRIC = re.compile(r'"(?:eval_|train_)?(?:loss|learning_rate|reward|grad_norm)"\s*:\s*["\d.NIn-]')
_BETWEEN = re.compile(r"[\s,]*")
_INNER = re.compile(r"[^{}]+")
_LONE_PAIR = re.compile(r'\s*"[\w/ .()@%*-]{1,200}":\s*(?:[-+\d]|NaN|-?Infinity)[\w.+-]{0,40},?\s*')
"""A line of a history that the trainer printed with one key a line."""
PIECE = 2
"""Lines of that kind by which a piece of a history is recognised."""


def _state_of(folder: Path) -> Path | None:
    """The newest state in a folder, which may itself be a checkpoint; None if there is none."""
    own = folder / STATE
    checkpoints: list[tuple[int, Path]] = []
    for inner in folder.iterdir():
        match = _CHECKPOINT.fullmatch(inner.name)
        if match and (inner / STATE).is_file():
            checkpoints.append((int(match[1]), inner / STATE))
    if not own.is_file():
        return max(checkpoints)[1] if checkpoints else None
    # At the same step the folder's own state is newer: the trainer saves it at the end, with the summary.
    return own if not checkpoints or _global_step(own) >= max(checkpoints)[0] else max(checkpoints)[1]


def _global_step(path: Path) -> int:
    ignored: list[BadLine] = []
    state = _parsed(path, _text(path, ignored.append), ignored.append)
    step = whole_number(state.get("global_step")) if isinstance(state, dict) else None
    return -1 if step is None else step


def _text(path: Path, on_bad: OnBad) -> str:
    # A JSON string holds no newline, so lines can be stripped.
    return "\n".join(line for _, line in text_lines(path, on_bad))


def _parsed(path: Path, text: str, on_bad: OnBad) -> Any:
    """The document; if it is damaged, the list of the entries before the damage."""
    try:
        return json.loads(text)
    except RecursionError:
        on_bad(BadLine(path, 1, "no JSON that can be read: it is nested too deep"))
        return []
    except json.JSONDecodeError as error:
        on_bad(BadLine(path, error.lineno, f"no JSON from here: {error.msg}"))
    except ValueError as error:  # an integer of thousands of digits
        on_bad(BadLine(path, 1, f"no JSON: {error}"[:200]))
    return list(_entries(text))


def _entries(text: str) -> Iterator[Any]:
    """The entries of a damaged history, from its beginning to the damage."""
    begin = _HISTORY.match(text)
    position = begin.end() if begin else len(text)
    decoder = json.JSONDecoder()
    while between := _BETWEEN.match(text, position):
        try:
            entry, position = decoder.raw_decode(text, between.end())
        except (ValueError, RecursionError):
            return
        yield entry


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    state = _state_of(path) if path.is_dir() else path
    if state is None:
        raise FileNotFoundError(f"{path} holds no {STATE}, and no checkpoint folder that does")
    text = _text(state, on_bad)
    if not path.is_dir() and _is_piece(text):
        yield from _piece_rows(state, text, on_bad)
        return
    document = _parsed(state, text, on_bad)
    if isinstance(document, dict) and "log_history" in document:
        document = document["log_history"] or []
    if not isinstance(document, list):
        on_bad(BadLine(state, 1, "no trainer's state: it has no list log_history"))
        return
    for index, entry in enumerate(document):
        if not isinstance(entry, dict):
            on_bad(BadLine(state, 1, f"entry {index} of the history is no object"))
            continue
        step = take(entry, ("step",), whole_number)
        yield Row(entry, step)


def _is_piece(text: str) -> bool:
    """Whether the text is no document of JSON, but entries of a history, cut anywhere."""
    if _HISTORY.match(text) or not _METRIC.search(text):
        return False
    lines = text.split("\n", 200)[:200]
    return (
        not _is_document(text)
        and sum(_LONE_PAIR.fullmatch(line) is not None for line in lines) >= PIECE
        and any(line.strip().rstrip(",") in {"{", "}", "]"} for line in lines)
    )


def _is_document(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _piece_rows(path: Path, text: str, on_bad: OnBad) -> Iterator[Row]:
    """The entries; one that the cut has robbed of its step is none, where others have theirs."""
    entries: list[dict[str, Any]] = [dict(scattered_numbers(inner[0])) for inner in _INNER.finditer(text)]
    have_steps = any("step" in entry for entry in entries)
    for entry in filter(None, entries):
        step = take(entry, ("step",), whole_number)
        if step is None and have_steps:
            on_bad(BadLine(path, 1, "an entry without its step: the paste begins or ends within it"))
        else:
            yield Row(entry, step)


def _confidence(probe: Probe) -> float:
    if probe.is_dir:
        return 0.95 if _state_of(probe.path) else 0
    if probe.name == STATE:
        return 0.95
    if probe.text and _is_piece("\n".join(probe.lines)):
        return 0.9
    if not probe.name.endswith(".json"):
        return 0
    if probe.text.lstrip().startswith("{") and '"log_history"' in probe.text:
        return 0.95
    return 0.8 if _LIST.match(probe.text) and _METRIC.search(probe.text) else 0


ADAPTER = Adapter(
    name="trainer-state",
    what="transformers' trainer_state.json, its bare log_history, a piece of it, or a folder of checkpoints",
    confidence=_confidence,
    rows=_rows,
)

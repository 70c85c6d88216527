"""Owns the reading of dicts that a trainer printed among other output (TRL, transformers, OpenRLHF).

Invariant: text is never evaluated, each brace is looked at a bounded number of times, and a dict becomes a
row only if it holds a metric: configurations, messages and the debug output of reward functions do not.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row, open_binary, text_lines
from rldk.runs.records import BadLine

__all__ = ["ADAPTER", "contains", "is_data_file", "scalar"]

MAX_DICT = 1 << 16
"""Characters of a printed dict; a longer one is no record."""
MAX_TRIES = 200
"""Dicts of one line that do not close; after them the rest of the line is left."""
MAX_HELD = 1000
"""Rows that may wait until it is clear whether the progress bar tells the step."""
SCAN_BYTES = 1 << 25
"""How far a file is searched for its first record: hours of other output may come before it."""

_STRING = r"(?:'(?:[^'\\]|\\.)*+'|\"(?:[^\"\\]|\\.)*+\")"


def _braces(depth: int) -> str:
    # Possessive and without a choice at any character: what does not close fails in one pass.
    inner = f"|{_braces(depth - 1)}" if depth else ""
    return rf"\{{(?:[^{{}}'\"]++|{_STRING}{inner})*+\}}"


_OPEN = re.compile(r"\{\s*+['\"]")
_DICT = re.compile(_braces(3), re.DOTALL)
_PAIR = re.compile(
    rf"\s*+(?P<key>{_STRING})\s*+:\s*+"
    rf"(?:(?P<text>{_STRING})|(?P<dict>{_braces(2)})|(?P<list>\[[^\[\]]*+\])"
    r"|(?P<bare>[^,(){}\[\]'\"]++(?:\([^()]*+\))?+))\s*+(?:,|(?P<end>\}))",
    re.DOTALL,
)
_WRAPPED = re.compile(
    r"(?:(?:np|numpy|torch)\.\w+|tensor|array)\(\s*+(?:\[([^\[\],]+)\]|([^\[\],]+))(?:,.*)?\)"
)
_WORDS = {"None": None, "null": None, "True": True, "true": True, "False": False, "false": False}

_STRONG = re.compile(
    r"(?:.*[/_])?(?:loss|grad_norm)|train_runtime|(?:train/|eval/)?rewards/.+"
    r"|eval[_/](?!(?:steps|delay|strategy|accumulation_steps|batch_size|on_start|packing|size)$).+"
)
_WEAK = re.compile(
    r"(?:(?:.*/)?(?:reward|return|score|kl|entropy|accuracy|perplexity|learning_rate|lr)(?:_(?:mean|std))?)"
    r"|(?:objective|completions|logps|logits|policy|val)/.+|mean_token_accuracy|completion_length"
)
_STEP_KEYS = ("step", "global_step", "train/global_step", "global_step/max_steps")
_STEP_BEFORE = re.compile(
    r"\b(?:global[ _]?step|step|iteration|iter)\b[\s:=#\[(]*+(\d{1,12})\b(?!\.\d)", re.IGNORECASE
)
_BAR = re.compile(r"\s*\d+%\|[^|]*\|\s*(\d{1,12})/(\d{1,12}) \[")
_ANYWHERE = re.compile(
    rb"\{\s*['\"](?:[\w./]*loss|grad_norm|train_runtime|learning_rate|reward|eval_\w+)['\"]\s*:\s*['\"]?[-\d.nit]"
)


class _Bar(NamedTuple):
    """A state of the trainer's progress bar."""

    done: int
    total: int


def _confidence(probe: Probe) -> float:
    if not probe.text:
        return 0.0
    ignored: list[BadLine] = []
    held = any(any(_records(line, probe.path, 0, ignored.append)) for line in probe.lines)
    if not held and not contains(probe, _ANYWHERE):
        return 0.0
    return 0.1 if is_data_file(probe) else 0.6 if held else 0.5


def is_data_file(probe: Probe) -> bool:
    """Whether the file is JSON or a table throughout, which other adapters read."""
    suffixes = (".json", ".jsonl", ".csv", ".tsv")
    return probe.name.endswith(suffixes) or re.match(r"\s*[\[{]\s*[\"{\[}]", probe.text) is not None


def contains(probe: Probe, pattern: re.Pattern[bytes]) -> bool:
    """Whether `pattern` occurs in the first 32 MiB, however long the output before it."""
    with open_binary(probe.path) as file:
        rest = b""
        for _ in range(SCAN_BYTES >> 20):
            try:
                block = file.read(1 << 20)
            except (EOFError, gzip.BadGzipFile, zlib.error):
                return False
            if pattern.search(rest + block):
                return True
            if not block:
                return False
            rest = block[-512:]
    return False


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    return _stepped(_parts(path, on_bad))


def _parts(path: Path, on_bad: OnBad) -> Iterator[Row | _Bar]:
    """The records and the progress bars, in order."""
    wrapped = ""
    for number, line in text_lines(path, on_bad):
        if bar := _BAR.match(line):
            yield _Bar(int(bar[1]), int(bar[2]))
        if "{" in line:
            yield from _records(line, path, number, on_bad)
            rest = line[line.rfind("}") + 1 :]
            wrapped = rest if len(rest) < MAX_DICT and _OPEN.search(rest) else ""
        elif wrapped and not bar:
            # A line without a brace holds no record of its own, so nothing is lost if this is none.
            wrapped += line
            if "}" in line:
                yield from _records(wrapped, path, number, on_bad)
            if "}" in line or len(wrapped) > MAX_DICT:
                wrapped = ""


def _records(line: str, path: Path, number: int, on_bad: OnBad) -> Iterator[Row]:
    """The records of one line."""
    end = tries = 0
    step = None
    while opening := _OPEN.search(line, end):
        start = opening.start()
        said = {int(found) for found in _STEP_BEFORE.findall(line[end:start])}
        step = (said.pop() if len(said) == 1 else None) if said else step
        found = _DICT.match(line, start, start + MAX_DICT)
        end = found.end() if found else start + 1
        if found and (values := _dict(found[0])):
            own = next((key for key in _STEP_KEYS if key in values), None)
            row_step = step if own is None else _step(values[own])
            if own is not None and row_step is not None:
                del values[own]
            if _is_record(values, placed=row_step is not None):
                yield Row(values, row_step)
        elif not found and (tries := tries + 1) == MAX_TRIES:
            on_bad(BadLine(path, number, f"{MAX_TRIES} braces that do not close; the rest is left"))
            return


def _dict(text: str) -> dict[str, Any] | None:
    """A printed dict of Python or JSON; None where it is neither."""
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
    """A printed number, bare or as `np.float64(0.5)` or `tensor(0.5)`; other text as it is."""
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


def _step(value: Any) -> int | None:
    """The step of `12`, `12.0`, `"12"` or ms-swift's `"12/400"`."""
    try:
        number = float(value.partition("/")[0] if isinstance(value, str) else value)
        return int(number) if number == int(number) >= 0 else None
    except (TypeError, ValueError, OverflowError):
        return None


def _is_record(values: Mapping[str, Any], *, placed: bool) -> bool:
    """Whether a dict looks like what a trainer logs; `placed`: it says its step.

    A loss or a gradient norm is enough. A reward, a KL or a learning rate also stands in the output of
    reward functions and in configurations: only where all is numbers, and a step or an epoch is said.
    """
    flat = [*_flat(values)]
    numbers = [key for key, value in flat if _is_number(value)]
    others = sum(value is not None for _, value in flat) - len(numbers)
    if any(map(_STRONG.fullmatch, numbers)):
        return others == 0 or others < len(numbers)
    return others == 0 and (placed or "epoch" in values) and any(map(_WEAK.fullmatch, numbers))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


def _is_number(value: Any) -> bool:
    value = scalar(value) if isinstance(value, str) else value
    return isinstance(value, int | float) and not isinstance(value, bool)


def _stepped(parts: Iterator[Row | _Bar]) -> Iterator[Row]:
    """The rows, with the step of the trainer's progress bar where they say none and the bar can be trusted.

    Output and bar are two streams. Where the output was buffered, many records follow one bar: trusted is
    a bar that moved on before the second record, in proportion to the epochs.
    """
    held: list[Row] = []
    bars: dict[int, int] = {}
    total = done = -1
    trusted: bool | None = None
    for part in parts:
        if isinstance(part, _Bar):
            bars.pop(part.total, None)  # so that the newest is last
            bars[part.total] = part.done
        elif trusted is False or part.step is not None:
            trusted = False
            yield from held
            held = []
            yield part
        elif "loss" not in part.values:
            if held:
                held.append(part)
                trusted = None if len(held) < MAX_HELD else False
            else:
                yield part._replace(step=done) if trusted else part
        elif trusted is None and not held:
            if bars:
                total, done = bars.popitem()
                bars.clear()
                held.append(part)
            else:
                trusted = False
                yield part
        else:
            now = bars.get(total, -1)
            trusted = now >= 0 and (trusted or _agree(held[0], done, part, now))
            yield from (row._replace(step=done) if trusted else row for row in held)
            held = []
            yield part._replace(step=now) if trusted else part
            done = now
            bars.clear()
    yield from held


def _agree(row: Row, done: int, later: Row, later_done: int) -> bool:
    """Whether two records are as far apart in epochs as their bars in steps; epochs are printed rounded."""
    if not 0 < done < later_done:
        return False
    epoch, later_epoch = (scalar(str(each.values.get("epoch"))) for each in (row, later))
    if not isinstance(epoch, float) or not isinstance(later_epoch, float):
        return True
    return abs(done * later_epoch - later_done * epoch) <= 0.0051 * (done + later_done)


ADAPTER = Adapter(
    name="console",
    what="dicts that a trainer printed in a console or a log file",
    confidence=_confidence,
    rows=_rows,
)

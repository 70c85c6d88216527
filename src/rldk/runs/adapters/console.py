"""Reads the dicts that a trainer printed between other output (TRL, transformers, OpenRLHF).

Invariant: a dict becomes a row only if it holds a metric; configurations, messages and debug output of reward
functions hold none. A piece of a dict whose braces were not pasted becomes a row only if it holds a loss or a
gradient norm.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row, text_lines
from rldk.runs.adapters.fields import PROGRESS, take
from rldk.runs.adapters.file_search import contains, is_data_file
from rldk.runs.adapters.log_values import is_number, whole_number
from rldk.runs.adapters.printed_dicts import MAX_DICT, OPEN, braced, parsed, scalar, scattered_numbers
from rldk.runs.adapters.progress_bar import Bar, bar_of, stepped
from rldk.runs.line_reader import BadLine

__all__ = ["ADAPTER"]

LEAST_PAIRS = 3
"""Named numbers that a piece of a dict must hold, or it may be a line of a program."""
MAX_TRIES = 200
"""Unclosed dicts in one line after which rldk ignores the rest of the line."""

_STRONG = re.compile(
    r"(?:.*[/_])?(?:loss|grad_norm)|loss/.+|train_runtime|(?:train/|eval/)?rewards/.+"
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
_ANYWHERE = re.compile(
    rb"\{\s*['\"](?:[\w./]*loss|grad_norm|train_runtime|learning_rate|reward|eval_\w+)['\"]\s*:\s*['\"]?[-\d.nit]"
)


def _confidence(probe: Probe) -> float:
    if not probe.text:
        return 0.0
    ignored: list[BadLine] = []
    lines = enumerate(probe.lines, 1)
    held = any(isinstance(part, Row) for part in _parts(lines, probe.path, ignored.append))
    if not held and not contains(probe, _ANYWHERE):
        return 0.0
    return 0.1 if is_data_file(probe) else 0.6 if held else 0.5


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    return stepped(_without_twins(_parts(text_lines(path, on_bad), path, on_bad)))


def _parts(lines: Iterable[tuple[int, str]], path: Path, on_bad: OnBad) -> Iterator[Row | Bar]:
    """The records and the progress bars, in order."""
    wrapped = ""
    for number, line in lines:
        if bar := bar_of(line):
            yield bar
        if "{" in line:
            yield from _records(line, path, number, on_bad)
            rest = line[line.rfind("}") + 1 :]
            wrapped = rest if len(rest) < MAX_DICT and OPEN.search(rest) else ""
        elif wrapped and not bar:
            # A line without a brace is no record, so nothing is lost.
            wrapped += line
            if "}" in line:
                yield from _records(wrapped, path, number, on_bad)
            if "}" in line or len(wrapped) > MAX_DICT:
                wrapped = ""
        elif not bar and (row := _piece(line)):
            yield row


def _piece(text: str) -> Row | None:
    """The record of a dict without its braces; None if the text holds too little of one."""
    values: dict[str, Any] = dict(scattered_numbers(text))
    if len(values) < LEAST_PAIRS or not any(map(_STRONG.fullmatch, values)):
        return None
    return Row(values, take(values, _STEP_KEYS, whole_number))


def _without_twins(parts: Iterator[Row | Bar]) -> Iterator[Row | Bar]:
    """The parts without a record that the next prints again with more keys and digits.

    LLaMA-Factory logs a line of its own before that of the trainer.
    """
    held: Row | None = None
    for part in parts:
        if held is not None and not (isinstance(part, Row) and _is_twin(held, part)):
            yield held
        held = part if isinstance(part, Row) else None
        if held is None:
            yield part
    if held is not None:
        yield held


def _is_twin(first: Row, second: Row) -> bool:
    """Whether all values of the first record are in the second, rounded; the second has further ones."""
    if not first.values.keys() < second.values.keys() or len(first.values) < LEAST_PAIRS:
        return False
    return all(_is_rounded(value, second.values[key]) for key, value in first.values.items())


def _is_rounded(value: Any, exact: Any) -> bool:
    short, long = scalar(str(value)), scalar(str(exact))
    if not isinstance(short, int | float) or not isinstance(long, int | float):
        return bool(value == exact)
    return abs(short - long) <= max(6e-5 * abs(long), 6e-5 if abs(long) >= 1e-3 else 0.0)


def _records(line: str, path: Path, number: int, on_bad: OnBad) -> Iterator[Row]:
    """The records of one line."""
    end = tries = 0
    step = None
    while opening := OPEN.search(line, end):
        start = opening.start()
        steps = {int(found) for found in _STEP_BEFORE.findall(line[end:start])}
        step = (steps.pop() if len(steps) == 1 else None) if steps else step
        text = braced(line, start)
        end = start + len(text or "{")
        if text and (values := parsed(text)):
            own = take(values, _STEP_KEYS, whole_number)
            row_step = step if own is None else own
            if _is_record(values, has_step=row_step is not None):
                yield Row(values, row_step)
        elif text and (row := _piece(text)):
            yield row  # a terminal may have mixed other text into the dict
        elif not text and not tries and "}" in line[start:] and (row := _piece(line[start:])):
            yield row  # so too where it broke a quote
            return
        elif not text and (tries := tries + 1) == MAX_TRIES:
            on_bad(BadLine(path, number, f"{MAX_TRIES} braces that do not close; the rest is left"))
            return


def _is_record(values: Mapping[str, Any], *, has_step: bool) -> bool:
    """Whether a dict looks like a trainer's record; `has_step` means that its step is known.

    A loss or a gradient norm is enough. Reward functions and configurations also print rewards, KLs and
    learning rates. These count only if all values are numbers and a step or an epoch is known.
    """
    flat = [(key, value) for key, value in _flat(values) if key not in PROGRESS]
    numbers = [key for key, value in flat if is_number(value)]
    others = sum(value is not None for _, value in flat) - len(numbers)
    if any(map(_STRONG.fullmatch, numbers)):
        return others == 0 or others < len(numbers)
    return others == 0 and (has_step or "epoch" in values) and any(map(_WEAK.fullmatch, numbers))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


ADAPTER = Adapter(
    name="console",
    what="dicts that a trainer printed in a console or a log file",
    confidence=_confidence,
    rows=_rows,
)

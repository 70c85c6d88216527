"""Reads console lines of pairs: `(20/400), loss: 0.66, lr: 4e-8` or `step 20 | loss 0.5`.

Invariant: a line becomes a row only if it has two named numbers, one of them a loss or a reward; prose, dates
and configurations have none.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from rldk.runs.adapters.base import Adapter, OnBad, Probe, Row, text_lines
from rldk.runs.adapters.file_search import contains, is_data_file

__all__ = ["ADAPTER"]

MAX_LINE = 1 << 14
"""Characters; a longer line is no line of pairs."""

_WORD_BEFORE = r"train|training|val|valid|validation|eval|test|avg|mean|learning|chosen|rejected|grad|lm"
_KEY = rf"(?:(?:{_WORD_BEFORE}) )?[A-Za-z_][\w./@%-]*+(?:\(\w+\))?+"
_NUMBER = r"[-+]?(?:(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|nan|inf(?:inity)?)"
# A unit may follow a number; a date, a time, a fraction and 1,234 are no number.
_VALUE = rf"({_NUMBER})(?:/\d+(?!\S*/)| ?%|[a-zµ]{{1,6}}(?:/[a-z]{{1,6}})?)?(?![\w%]|[.,:/-]\d)"
_JOINED = re.compile(rf"(?<![\w'\"./@%-])({_KEY})\s*[:=]\s*{_VALUE}", re.IGNORECASE)
_SPACED = re.compile(rf"({_KEY})\s+{_VALUE}", re.IGNORECASE)
_ALL_SPACED = re.compile(rf"(?:\[?{_KEY}\s+{_VALUE}\]?:?\s*)+", re.IGNORECASE)
_SEPARATOR = re.compile(r"\s*[|;]\s*|,(?!\d)\s*|\s+-\s+|(?<=[\d\])]):\s+(?=[A-Za-z])")
_PROGRESS = re.compile(r"(?P<epoch>epoch\W{0,3})?[(\[](\d{1,12})/(\d{1,12})[)\]]", re.IGNORECASE)
_STEP_KEYS = {"step", "steps", "iter", "iteration", "global_step", "global step"}
_TRAINING_KEY = re.compile(
    r"(?:.*[ _/.-])?(?:c?loss|rewards?|returns?|ppl|perplexity)(?:[_/](?:mean|avg|std))?", re.IGNORECASE
)
_NO_METRIC = {*_STEP_KEYS, "epoch", "epochs", "seed", "rank"}
_WORDS = {
    "train loss": "loss",
    "training loss": "loss",
    "closs": "loss",
    "val loss": "eval_loss",
    "validation loss": "eval_loss",
    "learning rate": "learning_rate",
    "lm loss": "loss",
    "grad norm": "grad_norm",
    "chosen reward": "rewards/chosen",
    "rejected reward": "rewards/rejected",
}
"""What consoles print in words (mlx-lm, Megatron, LLaMA-Adapter), under the keys of trainers."""
_CLOSING = re.compile(r"\*{3,} (train|eval|predict) metrics \*{3,}")
_CLOSING_PAIR = re.compile(r"\s*(\w{1,100})\s+=\s+(\S{1,40})\s*")
_ANYWHERE = re.compile(rb"(?i)(?:loss|reward)\s{0,3}[:= ]\s{0,3}[-+]?[\d.]")


def _confidence(probe: Probe) -> float:
    if not probe.text or is_data_file(probe):
        return 0.0
    if any(map(_row, probe.lines)) or any(map(_CLOSING.search, probe.lines)):
        return 0.4
    # Prose has losses too, so a match later in the file is little evidence.
    return 0.05 if contains(probe, _ANYWHERE) else 0.0


def _rows(path: Path, on_bad: OnBad) -> Iterator[Row]:
    closing: dict[str, str] | None = None
    for _, line in text_lines(path, on_bad):
        if title := _CLOSING.search(line):
            yield from _closed(closing)
            closing = {"": title[1]}
        elif closing is not None and (pair := _CLOSING_PAIR.fullmatch(line)):
            closing[pair[1]] = pair[2]
        else:
            yield from _closed(closing)
            closing = None
            if row := _row(line):
                yield row
    yield from _closed(closing)


def _closed(block: dict[str, str] | None) -> Iterator[Row]:
    """The row of the block of metrics that transformers prints at the end of a training."""
    if block and len(block) > 1:
        phase = block.pop("")
        yield Row(block, phase="summary" if phase == "train" else "eval")


def _row(line: str) -> Row | None:
    if len(line) > MAX_LINE:
        return None
    values: dict[str, float] = {}
    step = None
    for segment in _SEPARATOR.split(" ".join(line.split())):
        pairs = _JOINED.findall(segment)
        if not pairs and _ALL_SPACED.fullmatch(segment):
            pairs = _SPACED.findall(segment)
        for key, text in pairs:
            if key.lower() in _STEP_KEYS and text.isdigit() and step is None:
                step = int(text[:12])
            else:
                values.setdefault(key, float(text))
    known = {key.lower() for key in values}
    values = {
        name if (name := _WORDS.get(key.lower())) and name not in known else key: value
        for key, value in values.items()
    }
    metrics = [key for key in values if key.lower() not in _NO_METRIC]
    if len(metrics) < 2 or not any(map(_TRAINING_KEY.fullmatch, metrics)):
        return None
    return Row(values, _progress(line) if step is None else step)


def _progress(line: str) -> int | None:
    """The step of `Epoch:[2/3](20/400)`: each epoch counts anew, so the earlier ones are added."""
    epochs_before = 0
    step = None
    for match in _PROGRESS.finditer(line):
        done, total = int(match[2]), int(match[3])
        if match["epoch"]:
            epochs_before = max(done - 1, 0)
        else:
            step = epochs_before * total + done
    return step


ADAPTER = Adapter(
    name="pairs",
    what="console lines of key: value or key=value pairs",
    confidence=_confidence,
    rows=_rows,
)

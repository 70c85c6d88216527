"""What a training logged, seen without any code of rldk, and the events file, read without it."""

import copy
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

from transformers import TrainerCallback

FIELDS = ["step", "wall_time", "metrics", "rng", "data_slice", "model_info", "notes"]


class Seen(NamedTuple):
    """One call of `on_log`."""

    step: int
    phase: str
    logs: dict[str, Any]


class Witness(TrainerCallback):
    """Keeps a copy of every `logs`; tells the phase by the order of the hooks, not by keys.

    Prediction steps come before the log of an evaluation, a wish to log (`control.should_log`) before
    that of a training step; what is logged with neither is the summary. PPO logs before a step ends.
    """

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self._predicted = False
        self._train_next = False

    def on_train_begin(self, args, state, control, **kwargs):
        self._train_next = True

    def on_step_end(self, args, state, control, **kwargs):
        self._train_next = control.should_log

    on_epoch_end = on_step_end

    def on_prediction_step(self, args, state, control, **kwargs):
        self._predicted = True

    def on_log(self, args, state, control, logs=None, **kwargs):
        if self._predicted:
            phase, self._predicted = "eval", False
        else:
            phase, self._train_next = ("train" if self._train_next else "summary"), False
        self.seen.append(Seen(state.global_step, phase, copy.deepcopy(logs)))


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of an events file: each must be strict JSON, and the last must be ended.

    What was measured beside the log is left out of their metrics: this is about what the trainer logged.
    """
    text = path.read_text(encoding="utf-8")
    assert text.endswith("\n") or not text
    lines = [json.loads(line, parse_constant=_refuse) for line in text.splitlines()]
    for line in lines:
        line["metrics"] = {
            name: value for name, value in line["metrics"].items() if not name.startswith("resource/")
        }
    return lines


def of_phase(lines: list[dict[str, Any]], phase: str) -> list[dict[str, Any]]:
    """The records of one phase."""
    return [line for line in lines if line["model_info"]["phase"] == phase]


def expected(seen: Seen, canonical: Any) -> tuple[dict[str, Any], list[str]]:
    """The metrics and the notes that a record of `seen` must have."""
    metrics: dict[str, Any] = {}
    notes = []
    for key, value in seen.logs.items():
        name = canonical(key)
        assert name not in metrics, f"{key} shares the name {name}"
        if value is None or not math.isfinite(value):
            notes.append(f"nonfinite:{name}={'none' if value is None else value}")
            value = None  # noqa: PLW2901
        metrics[name] = value
    return metrics, notes


def check(lines: list[dict[str, Any]], seen: list[Seen], canonical: Any) -> None:
    """Each log is one record, in order, with every value exactly and nothing else."""
    assert seen
    assert [(line["step"], line["model_info"]["phase"]) for line in lines] == [
        (one.step, one.phase) for one in seen
    ]
    for line, one in zip(lines, seen, strict=True):
        assert list(line) == FIELDS
        metrics, notes = expected(one, canonical)
        assert line["metrics"] == metrics
        assert {k: type(v) for k, v in line["metrics"].items()} == {k: type(v) for k, v in metrics.items()}
        assert [note for note in line["notes"] if not note.startswith("resumed:")] == notes

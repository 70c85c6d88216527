"""How a run that was recorded with everything on is kept: small, and judged as the whole of it was.

The events are kept as `store` keeps them. Of the samples stay those that the doctor links and those of every
twentieth step; of the resources what is no step's time, in four digits, with seconds since the run began.
Invariant: no path, name or date of the machine is kept.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import store

from rldk.doctor.sample_evidence import evidence
from rldk.health import Diagnosis
from rldk.runs import Run
from rldk.runs.event_reader import read_lines
from rldk.schema.event import decode
from rldk.schema.files import RunFiles

__all__ = ["keep"]

EVERY = 20
"""Of so many steps the samples of the first are kept."""
DIGITS = 4
ALSO = ("max_prompt_length",)
"""Options of TRL 0.23 that count at their defaults."""
END = ("how", "detail", "where", "activity", "during", "step", "records")
_PATH = re.compile(r'(?:/[^/\s"\']+)+/(?=[^/\s"\']+)')
_DATED = re.compile(r"^time: .*\n", re.MULTILINE)


def keep(run: Run, diagnosis: Diagnosis, target: Path, defaults: dict[str, Any]) -> RunFiles:
    """Store a run.

    Args:
        run: the recorded run.
        diagnosis: what the doctor says of it.
        target: the folder, which is named as the run.
        defaults: of the class of its configuration.
    """
    files = RunFiles(target, target.name)
    events = [decode(line) for part in run.parts for _, line in read_lines(part)]  # both branches of a resume
    store.write_events(events, files)
    recorded = store.info_of(run)
    info = store.trimmed(recorded, target.name, defaults)
    for kept, attempt in zip(info["attempts"], recorded["attempts"], strict=True):
        kept["judging"] = attempt["judging"]
        kept["args"] |= {key: attempt["args"][key] for key in ALSO if key in attempt["args"]}
    end = recorded.get("end") or {}
    info["end"] = {key: _bare(end[key]) for key in END if end.get(key) is not None} or None
    store.write_info(info, files)
    shown = evidence(diagnosis, run.samples())
    linked = {(one.sample.step, one.sample.index) for many in shown.values() for one in many}
    began = _began(run)

    def sample(line: dict[str, Any]) -> dict[str, Any] | None:
        wanted = line["step"] % EVERY == 1 or (line["step"], line["index"]) in linked
        return line if wanted else None

    def measured(line: dict[str, Any]) -> dict[str, Any] | None:
        if line["kind"] == "step_time":  # of use only beside other ranks
            return None
        return {key: _short(value) for key, value in (line | {"time": line["time"] - began}).items()}

    def checkpoint(line: dict[str, Any]) -> dict[str, Any]:
        return {key: _short(value) for key, value in line.items()}

    _copy(run.files.samples, files.samples, sample)
    _copy(run.files.resources(), files.resources(), measured)
    _copy(run.files.checkpoints, files.checkpoints, checkpoint)
    if run.files.crash().exists():
        text = _DATED.sub("", run.files.crash().read_text())
        files.crash().write_text(_PATH.sub("", text.partition("\nThe last ")[0]) + "\n")
    return files


def _copy(source: Path, target: Path, change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> None:
    if not source.exists():
        return
    with source.open("rb") as lines, target.open("wb") as file:
        for line in lines:
            if line.endswith(b"\n") and (kept := change(json.loads(line))) is not None:
                file.write(msgspec.json.encode(kept) + b"\n")


def _began(run: Run) -> float:
    try:
        with run.files.resources().open() as file:
            return float(json.loads(file.readline())["time"])
    except (OSError, ValueError):
        return 0.0


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _short(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_short(item) for item in value]
    if isinstance(value, str):
        return _bare(value)
    return store.rounded(value, DIGITS)


def _bare(value: Any) -> Any:
    """A text without the folders of this machine."""
    return _PATH.sub("", value) if isinstance(value, str) else value

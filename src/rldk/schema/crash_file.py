"""Reads how a rank's process ended from its crash file.

Owns the lines of that file that rldk reads again. Invariant: only the newest attempt's part of the file
counts; a file of any size costs the same; an unreadable file gives None.
"""

import re
from itertools import takewhile
from pathlib import Path

import msgspec

from rldk.schema.run_info import RunEnd

__all__ = ["BEGAN", "ENDED", "FIELDS", "STALLED", "read_crash"]

BEGAN = "=== rldk: recording from step"
"""Begins a line where a resumed run continues in a file that already has text."""
ENDED = "=== rldk: the process ended"
"""Begins the record of an end; a line `field: value` follows for each of `FIELDS` that is known."""
STALLED = "=== rldk: no step has ended for"
"""Begins the stacks of a stall."""
FIELDS = ("how", "detail", "where", "activity", "during", "step", "time")
"""The fields of a `RunEnd` that the file holds."""
_READ_BYTES = 1 << 20
_STEP = re.compile(r"\d{1,18}", re.ASCII)
"""A step; more digits are no step, and `int` would raise on thousands of them."""
_FATAL = re.compile(r"^Fatal Python error: (?P<error>.*)$", re.MULTILINE)
_FRAME = re.compile(r'^  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.*)$', re.MULTILINE)


def read_crash(path: Path) -> RunEnd | None:
    """The end of the newest attempt; None where the file does not record one."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - _READ_BYTES, 0))
            text = file.read(_READ_BYTES).decode(errors="replace")
    except OSError:
        return None
    began = text.rfind(f"\n{BEGAN}")
    text = text[began + 1 :]
    ended = text.rfind(ENDED)
    if ended >= 0:
        return _recorded(text[ended:])
    if fatal := _FATAL.search(text):
        current = text.find("\nCurrent thread ", fatal.end())  # other threads may come before it
        frame = _FRAME.search(text, max(current, fatal.end()))
        where = f"{frame['function']} ({Path(frame['file']).name}:{frame['line']})" if frame else None
        return RunEnd(how="native", detail=fatal["error"].strip(), where=where)
    return None


def _recorded(text: str) -> RunEnd | None:
    fields: dict[str, str] = {}
    for line in takewhile(bool, text.split("\n")[1:]):
        name, _, value = line.partition(": ")
        if name in FIELDS and value:
            fields[name] = value
    step = fields.pop("step", "")
    if "how" not in fields:
        return None
    return msgspec.convert(fields | {"step": int(step) if _STEP.fullmatch(step) else None}, RunEnd)

"""The end of a recorded run, from its files: the Observation of kind `end`.

Invariant: the recorder, which knows the end, and a later reader of the files get the same Observation; an
unreadable file is ignored.
"""

import re
from datetime import datetime, timedelta

import msgspec

from rldk.health import Observation
from rldk.schema.crash_file import read_crash
from rldk.schema.event import Event
from rldk.schema.files import RunFiles
from rldk.schema.run_info import Attempt, RunEnd, RunInfo

__all__ = ["end_of"]

_OTHER_RANK = re.compile(r"_crash\.rank(\d{1,9})\.txt$")


def end_of(
    files: RunFiles, info: RunInfo, last: Event | None, step: int, end: RunEnd | None = None
) -> Observation:
    """The end of a run, as its files record it.

    Args:
        files: the run.
        info: the content of its `{run_id}_run.json`.
        last: its last train record.
        step: the last recorded step, if the end does not hold it.
        end: the end, if the recorder knows it before the files do.
    """
    own = end or info.end or read_crash(files.crash()) or RunEnd()
    if own.how is None:
        own = msgspec.structs.replace(own, time=_time_of(last, info.newest))
    ends = {
        int(match[1]): other
        for path in files.existing()
        if (match := _OTHER_RANK.search(path.name))
        and (other := read_crash(path))
        and not _is_earlier(other.time, info.newest.started)  # the rank may have no part in this attempt
    }
    metrics = last.metrics if last else {}
    resources = {name: value for name, value in metrics.items() if name.startswith("resource/")}
    known = step if own.step is None else own.step  # a resume may end before its first record
    return Observation(known, "end", resources, ends=ends | {0: own})


def _is_earlier(time: str | None, began: str | None) -> bool:
    """Whether a time is known to be before that at which an attempt began; both ISO 8601."""
    try:
        return bool(time and began) and datetime.fromisoformat(time or "") < datetime.fromisoformat(
            began or ""
        )
    except (TypeError, ValueError):  # no times, or one of them without its zone
        return False


def _time_of(last: Event | None, attempt: Attempt) -> str | None:
    """The time of the last event, in ISO 8601."""
    if last is None or last.wall_time is None or attempt.started is None or attempt.from_seconds is None:
        return None  # an older rldk recorded the run without these
    try:
        seconds = last.wall_time - attempt.from_seconds
        time = datetime.fromisoformat(attempt.started) + timedelta(seconds=seconds)
    except (TypeError, ValueError, OverflowError):
        return None
    return time.isoformat(timespec="seconds")

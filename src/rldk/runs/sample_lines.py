"""The samples that rldk recorded: `{run_id}_samples.jsonl`.

Invariant: a line is decoded by itself, so that what is torn or foreign costs no other; what a resume
superseded is left out.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from rldk.runs.lines import BadLine, ignore, read_lines
from rldk.runs.samples import OnBad, Sample
from rldk.sample import RecordedSample

__all__ = ["SampleLines", "holds_samples"]


class _Line(RecordedSample, frozen=True, kw_only=True):
    """A recorded sample, and the attempt of the run that it is of."""

    attempt: int = 0
    """Counted from 1; 0 where the line does not tell."""


_decoder = msgspec.json.Decoder(_Line)


class SampleLines:
    """The samples file of a run, which may be written to meanwhile.

    Args:
        path: the file.
        attempts: `attempts` of `{run_id}_run.json`.
    """

    def __init__(self, path: Path, attempts: Any = None) -> None:
        self.path = path
        """The file."""
        starts = attempts if isinstance(attempts, list) else []
        steps = [start.get("from_step") if isinstance(start, dict) else None for start in starts]
        self._starts = [step if isinstance(step, int) else 0 for step in steps]

    def read(self, on_bad: OnBad) -> Iterator[Sample]:
        """Its samples, as `Source.read`."""
        try:
            for number, line in read_lines(self.path, on_bad):
                found = _decoded(line)
                if isinstance(found, str):
                    on_bad(BadLine(self.path, number, found))
                elif not self._superseded(found):
                    yield _sample(found)
        except OSError as error:
            on_bad(BadLine(self.path, 1, f"the file cannot be read: {error.strerror or error}"))

    def count(self, on_bad: OnBad) -> int:
        """How many it holds; the file is read for it."""
        return sum(1 for _ in self.read(on_bad))

    def _superseded(self, line: _Line) -> bool:
        """Whether a later attempt went on from an earlier step."""
        later = self._starts[line.attempt :] if line.attempt > 0 else []
        return bool(later) and line.step > min(later)


def holds_samples(path: Path) -> bool:
    """Whether one of the first lines of a file is a recorded sample."""
    try:
        for number, line in read_lines(path, ignore):
            if not isinstance(_decoded(line), str):
                return True
            if number >= 5:
                return False
    except OSError:
        return False
    return False


def _decoded(line: bytes) -> _Line | str:
    """The line, or what is wrong with it."""
    try:
        return _decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeError, RecursionError, ValueError) as error:
        return f"no sample: {error}"


def _sample(line: _Line) -> Sample:
    return Sample(
        step=line.step,
        prompt=line.prompt,
        completion=line.completion,
        rewards=line.rewards,
        phase=line.phase,
        group=line.group,
        index=line.index,
        reward=line.reward,
        length=line.length,
        end=line.end,
        why=line.why,
        cut_chars=line.cut_chars,
    )

"""The samples that rldk recorded: `{run_id}_samples.jsonl`.

Invariant: each line is decoded separately, so that a torn or foreign line does not affect the others; samples
of steps that a resume replaced are left out.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from rldk.runs.line_reader import BadLine, ignore, read_lines
from rldk.runs.samples import OnBad, Sample
from rldk.schema.run_info import RunInfo
from rldk.schema.sample import RecordedSample

__all__ = ["SampleLines", "holds_samples"]


class _Line(RecordedSample, frozen=True, kw_only=True):
    """A recorded sample, with the attempt of its run."""

    attempt: int = 0
    """Number of the attempt, from 1; 0 if the line has none."""


_decoder = msgspec.json.Decoder(_Line)


class SampleLines:
    """The samples file of a run, which the recorder may still write to.

    Args:
        path: the file.
        info: the content of `{run_id}_run.json`.
    """

    def __init__(self, path: Path, info: RunInfo) -> None:
        self.path = path
        """The file."""
        self._info = info

    def read(self, on_bad: OnBad) -> Iterator[Sample]:
        """Its samples, as `SampleSource.read`."""
        try:
            for number, line in read_lines(self.path, on_bad):
                found = _decoded(line)
                if isinstance(found, str):
                    on_bad(BadLine(self.path, number, found))
                elif not self._info.is_superseded(found.attempt, found.step):
                    yield _sample(found)
        except OSError as error:
            on_bad(BadLine(self.path, 1, f"unreadable file: {error.strerror or error}"))

    def count(self, on_bad: OnBad) -> int:
        """The number of samples; it reads the file."""
        return sum(1 for _ in self.read(on_bad))


def holds_samples(path: Path) -> bool:
    """Whether a recorded sample is among the first lines of a file."""
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
    """The line, or the problem with it."""
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

"""What a file without records looks like, and what to give instead.

Invariant: a likeness is only a hint for the message of a refusal; it never decides how a file is read.
"""

import re
from collections.abc import Sequence

from rldk.runs.adapters.base import Probe

__all__ = ["likeness"]

LEAST = 2
"""Lines of one kind by which it is named."""

_LIKENESSES: tuple[tuple[re.Pattern[str], str], ...] = (
    (
        re.compile(r"\s*wandb:\s+(?:Run (?:history|summary):|\S+\s+(?:[▁-█]+|-?[\d.]+(?:e-?\d+)?|nan))\s*"),
        (
            "it looks like the block that W&B prints at the end, which holds one value a metric and no "
            "records: "
            "give the folder wandb/run-*/, or the console log before the block"
        ),
    ),
    (
        re.compile(r"Traceback \(most recent call last\):|\s+File \".+\", line \d+, in .+"),
        (
            "it looks like the traceback of a crash: give the console log before it, or "
            "trainer_state.json of "
            "the last checkpoint"
        ),
    ),
    (
        re.compile(r".*\d+%\|.*\| *\d+/\d+ \[.*"),
        (
            "it holds a progress bar without records: give trainer_state.json of a checkpoint, or a log "
            "with the "
            "lines that logging_steps prints"
        ),
    ),
    (
        re.compile(r"\s*[\"']?[\w/.-]+[\"']?\s*[:=]\s*[\"']?[\w./+-]+[\"']?,?\s*"),
        (
            "it looks like options or single values, one a line: give the log of the training, with several "
            "records"
        ),
    ),
)
"""A pattern of lines, and what a file with `LEAST` of them looks like; the first that matches counts."""


def likeness(probe: Probe) -> str | None:
    r"""What a file looks like, as part of a sentence; None where nothing is known of it.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("end.txt").write_text("wandb: Run summary:\nwandb: train/loss 0.01\n")
        >>> likeness(Probe(Path("end.txt"))).partition(",")[0]
        'it looks like the block that W&B prints at the end'
    """
    if probe.is_dir:
        return None
    return next((text for pattern, text in _LIKENESSES if _matches(pattern, probe.lines)), None)


def _matches(pattern: re.Pattern[str], lines: Sequence[str]) -> bool:
    return sum(pattern.fullmatch(line[:500]) is not None for line in lines) >= LEAST

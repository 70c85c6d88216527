"""What one process of a training records of itself: the lines of `{run_id}_resources.rank{N}.jsonl`.

Invariant: a line holds at least what is declared here; other keys are ignored.
"""

import msgspec

__all__ = ["StepTime"]


class StepTime(msgspec.Struct):
    """What counts of such a line."""

    step: int
    seconds: float
    cpu_seconds: float | None = None
    reward_seconds: float | None = None

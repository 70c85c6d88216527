"""The lines of `{run_id}_resources.rank{N}.jsonl`, in which one process of a training records itself.

Invariant: a line holds at least the fields declared here; readers ignore other keys.
"""

import msgspec

__all__ = ["StepTime"]


class StepTime(msgspec.Struct):
    """How long one step took: a line of kind `step_time`."""

    step: int
    """`global_step` after it."""
    seconds: float
    """Wall-clock time."""
    cpu_seconds: float | None = None
    """CPU time of the process, all threads together."""
    reward_seconds: float | None = None
    """Time in reward functions; None where rldk does not observe them."""

"""Reads an Observation of kind `end`, for the rules crash and unfinished-run.

Invariant: it holds the end of the process of rank 0, the ends that other ranks recorded, and the
`resource/...` metrics of the last train record.
"""

from rldk.health.failure_cause import Failure, failure_of
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.schema.run_info import RunEnd

__all__ = ["RESUME", "failed_first", "full_memory", "location", "memory", "outside_explanation"]

RESUME = Remedy(
    "resume from the newest checkpoint that is whole: trainer.train(resume_from_checkpoint=True)",
    own_loop="resume from the newest checkpoint that is whole, at step N: rldk.record(..., from_step=N)",
)
"""The remedy after any end but a good one."""
FULL = 0.95
"""Share of the memory in use from which the out-of-memory killer probably ended a killed process."""
FAILED = ("exception", "native")
"""Values of `RunEnd.how` for a process that failed by itself."""


def failed_first(at: Observation) -> tuple[int, RunEnd, Failure] | None:
    """The rank that failed by itself, where rank 0 only lost its connection; None where there is none."""
    if at.ends[0].how == "exception" and not _is_follower(at.ends[0]):
        return None
    for rank, end in sorted(at.ends.items()):
        if rank and end.how in FAILED and not _is_follower(end):
            return rank, end, failure_of(end.detail, end.activity)
    return None


def _is_follower(end: RunEnd) -> bool:
    """Whether a process failed because it lost another rank."""
    return failure_of(end.detail, end.activity).kind == "peer"


def outside_explanation(end: RunEnd) -> tuple[str, ...]:
    """The rule that may explain an end from outside, or by a lost rank: a stall came before it."""
    return () if end.how in FAILED and not _is_follower(end) else ("stall",)


def location(end: RunEnd) -> str:
    """Where the process was, as the rest of a clause."""
    inside = end.activity or (end.where if end.how != "terminated" or not end.during else None)
    return (f", in {inside}" if inside else "") + (f", during {end.during}" if end.during else "")


def memory(at: Observation) -> dict[str, float]:
    """The memory metrics of the last record, in GiB."""
    return {
        name: value
        for name, value in at.values.items()
        if value is not None and ("memory" in name or "torch_" in name)
    }


def full_memory(at: Observation) -> str | None:
    """A clause that the memory was full at the last record; None where it was not, or was not measured."""
    for used, most, whose in (
        ("memory_limit_used", "memory_limit", "the job's"),
        ("memory_used", "memory_total", "the machine's"),
    ):
        now, limit = at.values.get(f"resource/{used}"), at.values.get(f"resource/{most}")
        if now is not None and limit and now >= FULL * limit:
            share = f"{now:.3g} of {limit:.3g} GiB of {whose} memory were in use"
            return f"{share}, so the out-of-memory killer is likely"
    return None

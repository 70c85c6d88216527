"""What an Observation of kind `end` says, as the rules crash and unfinished-run both need it.

Invariant: it holds how the process of rank 0 ended, how those of other ranks did as far as they could say so,
and the `resource/...` metrics of the last train record.
"""

from rldk.health.failure_cause import Failure, failure_of
from rldk.health.observation import Observation
from rldk.health.remedies import Remedy
from rldk.schema.run_info import RunEnd

__all__ = ["RESUME", "failed_first", "full_memory", "location", "memory", "outside_explanation"]

RESUME = Remedy("resume from the newest checkpoint that is whole: trainer.train(resume_from_checkpoint=True)")
"""What to do after any end but a good one."""
FULL = 0.95
"""Share of the memory in use from which a killed process was probably killed for it."""
FAILED = ("exception", "native")
"""Ends of a process that failed of itself."""


def failed_first(at: Observation) -> tuple[int, RunEnd, Failure] | None:
    """The other rank that failed of itself, where rank 0 only followed."""
    if at.ends[0].how == "exception" and not _is_follower(at.ends[0]):
        return None
    for rank, end in sorted(at.ends.items()):
        if rank and end.how in FAILED and not _is_follower(end):
            return rank, end, failure_of(end.detail, end.activity)
    return None


def _is_follower(end: RunEnd) -> bool:
    """Whether a process failed since another rank was lost."""
    return failure_of(end.detail, end.activity).kind == "peer"


def outside_explanation(end: RunEnd) -> tuple[str, ...]:
    """The rule that explains an end from outside, or by a rank that was lost: nothing went on any more."""
    return () if end.how in FAILED and not _is_follower(end) else ("stall",)


def location(end: RunEnd) -> str:
    """Where the process was, as the rest of a clause."""
    inside = end.activity or (end.where if end.how != "terminated" or not end.during else None)
    return (f", in {inside}" if inside else "") + (f", during {end.during}" if end.during else "")


def memory(at: Observation) -> dict[str, float]:
    """What the last record says of memory, in GiB."""
    return {
        name: value
        for name, value in at.values.items()
        if value is not None and ("memory" in name or "torch_" in name)
    }


def full_memory(at: Observation) -> str | None:
    """In words, that the memory was full at the last record."""
    for used, most, whose in (
        ("memory_limit_used", "memory_limit", "the job's"),
        ("memory_used", "memory_total", "the machine's"),
    ):
        now, limit = at.values.get(f"resource/{used}"), at.values.get(f"resource/{most}")
        if now is not None and limit and now >= FULL * limit:
            share = f"{now:.3g} of {limit:.3g} GiB of {whose} memory were in use"
            return f"{share}, so the out-of-memory killer is likely"
    return None

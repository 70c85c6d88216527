"""Classifies the text of an exception by its cause: memory, the disk, NaN weights, another rank.

Invariant: an unknown text has no kind; a single word is never enough to guess one.
"""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from rldk.health.remedies import Remedy

__all__ = ["Failure", "failure_of"]

FailureKind = Literal["memory", "nan", "disk", "peer"]

TEXT_CHARS = 300
"""Characters of an exception's text that go into a message."""
MEMORY_REMEDIES = (
    Remedy("lower `per_device_train_batch_size`", scale=0.5, down_to=1),
    Remedy("lower `max_completion_length`", scale=0.5),
    Remedy("lower `vllm_gpu_memory_utilization`", scale=0.7, only_with="use_vllm"),
)
"""Remedies where memory ran out."""
FRAGMENTED = 0.1
"""Share of the GPU's memory that torch reserves without using it, from which fragmentation is the first
cause."""
_MEMORY = re.compile(
    r"out of memory|OutOfMemory|^MemoryError|can't allocate memory|Cannot allocate memory"
    r"|No available memory for the cache",
    re.IGNORECASE,
)
_NAN = re.compile(r"probability tensor contains either .?inf.?, .?nan.? or element < ?0", re.IGNORECASE)
_ASSERT = "device-side assert"
_DISK = re.compile(r"No space left on device|\[Errno 28\]|os error 28|Disk quota exceeded|\[Errno 122\]")
_LINK = re.compile(r"gloo|nccl|c10d|ProcessGroup|Dist\w*Error|torch\.distributed", re.IGNORECASE)
_LOST = re.compile(
    r"closed by peer|reset by peer|remote process|remote error|timed? ?out|timeout|broken pipe|abort",
    re.IGNORECASE,
)
_UNITS = {"b": 2.0**-30, "bytes": 2.0**-30, "kib": 2.0**-20, "mib": 2.0**-10, "gib": 1.0, "tib": 1024.0}
_SIZE = r"([\d.]+) ?(bytes|[KMGT]iB|B)\b"
_NUMBERS = {
    "tried_gib": re.compile(rf"tried to allocate {_SIZE}", re.IGNORECASE),
    "total_gib": re.compile(rf"total capacity of {_SIZE}|{_SIZE} total capacity", re.IGNORECASE),
    "free_gib": re.compile(rf"of which {_SIZE} is free|{_SIZE} free\b", re.IGNORECASE),
    "allocated_gib": re.compile(
        rf"allocated memory {_SIZE} is allocated by PyTorch|{_SIZE} already allocated", re.IGNORECASE
    ),
    "unallocated_gib": re.compile(rf"{_SIZE} is reserved by PyTorch but unallocated", re.IGNORECASE),
    "reserved_gib": re.compile(rf"{_SIZE} reserved in total", re.IGNORECASE),
}
"""Patterns of the numbers in the messages of torch's allocators (1.13 to 2.9)."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An exception, classified."""

    kind: FailureKind | None = None
    """The cause; None where the text is not a known one."""
    text: str
    """The exception's text on one line of bounded length."""
    numbers: Mapping[str, float] = {}
    """The allocator's numbers, in GiB."""
    causes: tuple[str, ...] = ()
    """The likeliest first."""
    remedies: tuple[Remedy, ...] = ()
    """Remedies, without the resume."""


def failure_of(detail: str | None, activity: str | None) -> Failure:
    """Classify an exception by its text.

    Args:
        detail: `Type: message`; None where it is not known.
        activity: what the process was doing, such as `generation`.
    """
    detail = detail or "its text is not known"
    text = " ".join(detail.split())
    text = text if len(text) <= TEXT_CHARS else f"{text[:TEXT_CHARS]}..."
    if _MEMORY.search(detail):
        return _memory(detail, text)
    if _NAN.search(detail) or (_ASSERT in detail and activity == "generation"):
        return Failure(
            kind="nan",
            text=text,
            causes=("the weights, or the logits, were NaN or infinite: generation cannot sample from them",),
            remedies=(
                Remedy(
                    "go back to a checkpoint from before the weights were NaN; see the finding non-finite"
                ),
            ),
        )
    if _DISK.search(detail):
        return Failure(
            kind="disk",
            text=text,
            causes=("the disk, or the quota, is full",),
            remedies=(Remedy("free space where the run writes, and keep fewer checkpoints"),),
        )
    if _LINK.search(detail) and _LOST.search(detail):
        return Failure(
            kind="peer",
            text=text,
            causes=("another rank died or hung first: look at its output",),
            remedies=(
                Remedy("look at the output of the other ranks: the first that failed tells the cause"),
            ),
        )
    scored = activity is not None and activity.startswith("the reward function")
    cause = f"{activity} raises" if scored else "the traceback is in the terminal and in the run's crash file"
    return Failure(text=text, causes=(cause,))


def _memory(detail: str, text: str) -> Failure:
    numbers = {
        name: round(float(size) * _UNITS[unit.lower()], 3)
        for name, pattern in _NUMBERS.items()
        if (found := pattern.search(detail)) is not None
        for size, unit in [[group for group in found.groups() if group]]
        if re.fullmatch(r"\d+(\.\d+)?", size)
    }
    remedies: tuple[Remedy, ...] = MEMORY_REMEDIES
    total, unused = numbers.get("total_gib"), numbers.get("unallocated_gib")
    cause = "memory ran out"
    if total and unused and unused >= FRAGMENTED * total:
        cause = f"memory is fragmented: torch holds {unused:.3g} GiB that no request fits into"
        remedies = (
            Remedy('start with "PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True" in the environment'),
            *MEMORY_REMEDIES,
        )
    return Failure(kind="memory", text=text, numbers=numbers, causes=(cause,), remedies=remedies)

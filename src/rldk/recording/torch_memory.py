"""What torch's CUDA allocator counts of itself.

Invariant: CUDA is never initialised, nothing is waited for, and no counter is reset. It is read in the thread
that trains and in no other: torch takes the allocator's lock while it holds Python's, and an allocator that
is called under that lock may want Python's in turn (vLLM's sleep mode has one), so that a second thread could
stop both for ever (pytorch#97833 is of that kind).
"""

import sys
from collections.abc import Sequence
from typing import Any

from rldk.recording.host_usage import GIB

__all__ = ["torch_memory"]


def torch_memory(gpus: Sequence[int] | None = None) -> dict[str, float]:
    """The allocator's numbers by name; empty where this process has not used CUDA.

    Memory is that of the GPU of which the allocator holds most; retries and failures are of all of them. A
    peak is the highest since the start, or since somebody reset it, which is theirs to do.

    Args:
        gpus: the GPUs to look at, by torch's numbers; None: all.
    """
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    try:
        if cuda is None or not cuda.is_initialized():
            return {}
        stats = [
            one
            for device in (range(cuda.device_count()) if gpus is None else gpus)
            if (one := cuda.memory_stats_as_nested_dict(device))
        ]
        return _named(stats)
    except Exception:  # a build without CUDA, a GPU of another maker, a torch still on its way in
        return {}


def _named(stats: list[dict[str, Any]]) -> dict[str, float]:
    if not stats:
        return {}
    fullest = max(stats, key=lambda one: one["reserved_bytes"]["all"]["current"])
    allocated, reserved = fullest["allocated_bytes"]["all"], fullest["reserved_bytes"]["all"]
    return {
        "resource/torch_allocated": allocated["current"] / GIB,
        "resource/torch_allocated_peak": allocated["peak"] / GIB,
        "resource/torch_reserved": reserved["current"] / GIB,
        "resource/torch_reserved_peak": reserved["peak"] / GIB,
        "resource/torch_alloc_retries": float(sum(one["num_alloc_retries"] for one in stats)),
        "resource/torch_ooms": float(sum(one["num_ooms"] for one in stats)),
    }

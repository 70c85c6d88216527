"""What the text of an exception tells."""

import pytest

from rldk.health.failure_cause import failure_of

OLD = (
    "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB (GPU 0; 10.76 GiB total "
    "capacity; 9.71 GiB already allocated; 512.00 MiB free; 9.78 GiB reserved in total by PyTorch)"
)
CPU = (
    "RuntimeError: [enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: "
    "you tried to allocate 4294967296 bytes. Error code 12 (Cannot allocate memory)"
)


@pytest.mark.parametrize(
    ("detail", "kind"),
    [
        ("OutOfMemoryError: CUDA out of memory.", "memory"),
        (OLD, "memory"),
        (CPU, "memory"),
        ("MemoryError: ", "memory"),
        ("OSError: [Errno 12] Cannot allocate memory", "memory"),
        (
            "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization`",
            "memory",
        ),
        ("RuntimeError: probability tensor contains either `inf`, `nan` or element < 0", "nan"),
        ("OSError: [Errno 28] No space left on device: 'out/checkpoint-5'", "disk"),
        (
            "SafetensorError: Error while serializing: I/O error: No space left on device (os error 28)",
            "disk",
        ),
        (
            "RuntimeError: [../third_party/gloo/gloo/transport/tcp/pair.cc:534] Connection closed by peer",
            "peer",
        ),
        ("DistBackendError: NCCL error in: ..., remote process exited or there was a network error", "peer"),
        ("ConnectionResetError: [Errno 104] Connection reset by peer", None),
        ("ValueError: the memory of the agent is full", None),
        ("TimeoutError: the judge timed out", None),
        (None, None),
    ],
)
def test_what_it_is_of(detail, kind):
    assert failure_of(detail, None).kind == kind


@pytest.mark.parametrize(
    ("activity", "kind"), [("generation", "nan"), ("the backward pass", None), (None, None)]
)
def test_an_assertion_of_a_kernel_is_of_nan_where_it_samples(activity, kind):
    assert failure_of("RuntimeError: CUDA error: device-side assert triggered", activity).kind == kind


def test_the_numbers_of_older_allocators():
    assert failure_of(OLD, None).numbers == {
        "tried_gib": 0.02,
        "total_gib": 10.76,
        "free_gib": 0.5,
        "allocated_gib": 9.71,
        "reserved_gib": 9.78,
    }
    assert failure_of(CPU, None).numbers == {"tried_gib": 4.0}


def test_a_text_is_told_in_one_bounded_line():
    text = failure_of("ValueError: a\n  b\n" + "x" * 10_000, None).text
    assert text.startswith("ValueError: a b xxx")
    assert len(text) == 303

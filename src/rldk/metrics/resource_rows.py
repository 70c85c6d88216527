"""Owns the metrics of the machine under a run, which no trainer logs: rldk measures them (docs/resources.md).

They join each train record. A level comes from the last sample. A mean covers the samples since the record
before, or the last sample if there was none.
"""

from rldk.metrics.metric import Metric

__all__ = ["RESOURCE_ROWS"]

RESOURCE_ROWS = (
    # The process of the trainer, rank 0, without its children.
    Metric("resource/process_cpu", "percent", "none",
        "Mean processor time of the process in percent of one core, which is beyond 100 where several of its "
        "threads run."),
    Metric("resource/process_memory", "GiB", "none",
        "Memory of the machine that the process holds (RSS), without its children."),
    Metric("resource/process_threads", "count", "none", "Threads of the process."),
    Metric("resource/process_open_files", "count", "none",
        "File descriptors that the process holds open, sockets and pipes included."),
    # The machine.
    Metric("resource/memory_used", "GiB", "none",
        "Memory of the machine that no process could get now: the total less the kernel's available memory, "
        "which includes the caches that it would give back."),
    Metric("resource/memory_total", "GiB", "none", "Memory of the machine."),
    Metric("resource/memory_limit", "GiB", "none",
        "Narrowest memory limit of the control groups around the process (a container, a pod, a job of "
        "Slurm), absent where there is none below the memory of the machine."),
    Metric("resource/memory_limit_used", "GiB", "none",
        "Memory that counts towards `resource/memory_limit`, of all processes in it, less the "
        "file caches."),
    Metric("resource/swap_used", "GiB", "down", "Swap in use on the machine, by all processes."),
    Metric("resource/disk_free", "GiB", "none",
        "Free space of the file system that the run writes to, as far as this user may fill it and no quota "
        "says otherwise."),
    Metric("resource/disk_total", "GiB", "none", "Size of the file system that the run writes to."),
    Metric("resource/checkpoint_size", "GiB", "none",
        "Size of all files of the newest checkpoint, optimizer state included, absent before the first."),
    # The GPUs of the process, numbered as torch does.
    Metric("resource/gpu{index}_utilization", "percent", "none",
        "Mean share of the time in which the GPU ran any kernel, however little of the GPU that kernel "
        "used."),
    Metric("resource/gpu{index}_memory_used", "GiB", "none",
        "Memory of the GPU in use, by all processes, the caches of allocators and the driver's reserve included."),
    Metric("resource/gpu{index}_memory_total", "GiB", "none", "Memory of the GPU."),
    Metric("resource/gpu{index}_power", "W", "none",
        "Mean power that the GPU draws; the driver averages each reading over up to a second."),
    Metric("resource/gpu{index}_power_limit", "W", "none", "Power limit of the GPU that is enforced now."),
    Metric("resource/gpu{index}_temperature", "degrees C", "none", "Temperature of the GPU's die."),
    Metric("resource/gpu{index}_throttled", "fraction", "down",
        "Share of the samples in which heat, the power supply or the hardware's own protection slowed the GPU "
        "down, without the cap at its power limit, which is normal under load."),
    # Torch's CUDA allocator, on the GPU where it holds most memory.
    Metric("resource/torch_allocated", "GiB", "none", "Memory of the GPU that tensors take now."),
    Metric("resource/torch_allocated_peak", "GiB", "none",
        "Most memory of the GPU that tensors took at once, since the start or the last reset of the counter."),
    Metric("resource/torch_reserved", "GiB", "none",
        "Memory of the GPU that the allocator holds now, its cache included."),
    Metric("resource/torch_reserved_peak", "GiB", "none",
        "Most memory of the GPU that the allocator held, since the start or the last reset of the counter."),
    Metric("resource/torch_alloc_retries", "count", "none",
        "Times so far that the allocator had to empty its cache to serve a request, on all GPUs of the process."),
    Metric("resource/torch_ooms", "count", "down",
        "Times so far that the allocator found no memory, on all GPUs of the process, whether or not the error "
        "was caught."),
)  # fmt: skip

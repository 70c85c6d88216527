"""The sampler: what it measures, what joins an Event, and what it must not do to a training."""

import os
import sys
import threading
import time
from types import SimpleNamespace

import pytest

from recording.nvml import RecordedNVML, gpu
from rldk.metrics import METRICS, metric_of
from rldk.recording import resources
from rldk.recording.host_usage import HostUsage, MemoryLimit
from rldk.recording.resources import ResourceSampler
from rldk.recording.torch_memory import torch_memory

GIB = 2**30


class Series:
    """A source that tells one value after another."""

    def __init__(self, *samples):
        self.samples = list(samples)
        self.missing = {}

    def open(self):
        pass

    def read(self):
        return self.samples.pop(0) if len(self.samples) > 1 else dict(self.samples[0])

    def close(self):
        pass


def sampler(tmp_path, *sources, **options):
    """One whose samples are taken by hand."""
    one = ResourceSampler(tmp_path, **options)
    if sources:
        one._measured = sources
    return one


def until(holds):
    """Wait for another thread; a test that hangs here fails by the clock of its runner."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# What joins an Event.


def test_levels_are_the_last_ones_and_rates_are_means_since_the_event_before(tmp_path):
    told = [{"gpu0_utilization": u, "memory_used": m} for u, m in ((100, 1), (0, 2), (50, 3), (10, 4))]
    one = sampler(tmp_path, Series(*told))
    assert one.latest() == {}
    for _ in range(3):
        one._sample()
    assert one.latest() == {"resource/gpu0_utilization": 50, "resource/memory_used": 3}
    one._sample()
    assert one.latest() == {"resource/gpu0_utilization": 10, "resource/memory_used": 4}


def test_a_later_event_without_a_sample_in_between_has_the_last_rate(tmp_path):
    one = sampler(tmp_path, Series({"process_cpu": 300}, {"process_cpu": 100}))
    one._sample()
    one._sample()
    assert [one.latest()["resource/process_cpu"] for _ in range(3)] == [200, 100, 100]


def test_a_reading_that_is_absent_is_absent(tmp_path):
    one = sampler(tmp_path, Series({"gpu0_power": 300, "gpu0_temperature": 60}, {}))
    one._sample()
    one._sample()
    assert one.latest() == {"resource/gpu0_power": 300}  # the mean of those there were; no old temperature


def test_what_was_measured_long_ago_joins_no_event(tmp_path, monkeypatch):
    one = sampler(tmp_path, Series({"memory_used": 1}))
    one._sample()
    assert one.latest()
    later = time.monotonic() + 11
    monkeypatch.setattr(resources.time, "monotonic", lambda: later)
    assert one.latest() == {}


def test_the_sample_is_handed_over_as_it_was_measured(tmp_path):
    seen = []
    one = sampler(tmp_path, Series({"process_cpu": 300}, {"process_cpu": 100}), on_sample=seen.append)
    one._sample()
    one._sample()
    assert [sample.values for sample in seen] == [
        {"resource/process_cpu": 300},
        {"resource/process_cpu": 100},
    ]
    assert abs(seen[0].time - time.time()) < 60
    assert one.last is seen[-1]


# The thread.


def test_it_samples_until_it_is_stopped(tmp_path):
    seen, others = [], set(threading.enumerate())
    one = ResourceSampler(tmp_path / "not" / "yet", interval=0.01, on_sample=seen.append)
    one.start()
    one.start()
    until(lambda: len(seen) > 2)
    assert [thread.name for thread in set(threading.enumerate()) - others] == ["rldk-resources"]
    assert one.latest()["resource/disk_free"] > 0
    one.stop()
    one.stop()
    assert not set(threading.enumerate()) - others
    one.start()
    before = len(seen)
    until(lambda: len(seen) > before)
    one.stop()


def test_whoever_raises_on_a_sample_ends_nothing(tmp_path):
    calls = []

    def full_disk(sample):
        calls.append(sample)
        raise OSError("no space left")

    one = ResourceSampler(tmp_path, interval=0.01, on_sample=full_disk)
    one.start()
    until(lambda: len(calls) > 2)
    assert one.latest()
    one.stop()


def test_a_source_that_hangs_stops_only_the_thread(tmp_path, monkeypatch):
    monkeypatch.setattr(resources, "_JOIN_SECONDS", 0.05)
    hanging, go_on = threading.Event(), threading.Event()

    class Hangs(Series):
        def read(self):
            hanging.set()
            assert go_on.wait(30)
            return {}

    one = sampler(tmp_path, Hangs({}), interval=0.01)
    one.start()
    assert hanging.wait(30)
    assert one.latest() == {}
    thread = one._thread
    one.stop()
    assert thread.is_alive()
    assert thread.daemon
    go_on.set()
    thread.join(30)
    assert not thread.is_alive()


def test_what_is_missing_is_said_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", RecordedNVML([gpu()]))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    caplog.set_level("INFO", "rldk")
    seen = []
    one = ResourceSampler(tmp_path, interval=0.01, on_sample=seen.append)
    one.start()
    until(lambda: len(seen) > 3)
    one.stop()
    said = [record.getMessage() for record in caplog.records]
    assert said == ["rldk: no GPU readings: this process may use no NVIDIA GPU"]
    assert one.sources == {"gpus": "no GPU readings: this process may use no NVIDIA GPU"}


def test_a_thread_that_cannot_start_is_said(tmp_path, monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    one = ResourceSampler(tmp_path)
    one.start()
    one.stop()
    assert "can't start new thread" in one.sources["thread"]
    assert one.latest() == {}


def test_a_forked_child_measures_nothing(tmp_path):
    seen = []
    one = ResourceSampler(tmp_path, interval=0.01, on_sample=seen.append)
    one.start()
    until(one.latest)
    child = os.fork()
    if child == 0:
        try:
            one.start()
            one.stop()
            os._exit(0 if one.latest() == {} and threading.active_count() == 1 else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    before = len(seen)
    until(lambda: len(seen) > before)
    one.stop()


# The machine.


def test_the_process_is_measured(tmp_path):
    machine = HostUsage(tmp_path)
    first = machine.read()
    assert "process_cpu" not in first  # a rate needs two samples
    spend = time.process_time() + 0.05
    while time.process_time() < spend:
        pass
    second = machine.read()
    assert second["process_cpu"] > 0
    assert 0.001 < second["process_memory"] < second["memory_total"]
    assert 0 < second["memory_used"] <= second["memory_total"]
    assert second["process_open_files"] >= 3
    assert 0 <= second["disk_free"] <= second["disk_total"]
    assert machine.missing == {}


def test_a_reading_that_fails_leaves_the_others_and_is_told(tmp_path, monkeypatch):
    def gone(path):
        raise OSError(5, "Input/output error", str(path))

    monkeypatch.setattr(os, "statvfs", gone)
    machine = HostUsage(tmp_path)
    assert "disk_free" not in machine.read()
    assert "memory_used" in machine.read()
    assert "cannot read the disk" in machine.missing["the disk"]


def cgroups(tmp_path, own, files):
    (tmp_path / "own").write_text(own)
    for name, content in files.items():
        path = tmp_path / "sys" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return MemoryLimit.of_process(64 * GIB, tmp_path / "own", tmp_path / "sys")


def test_the_narrowest_limit_around_a_process_counts(tmp_path):
    limit = cgroups(
        tmp_path,
        "0::/job/step\n",
        {
            "job/memory.max": f"{16 * GIB}\n",
            "job/memory.current": f"{9 * GIB}\n",
            "job/memory.stat": f"anon 5\ninactive_file {2 * GIB}\nactive_file 7\n",
            "job/step/memory.max": "max\n",
        },
    )
    assert limit.bytes == 16 * GIB
    assert limit.used() == 7 * GIB - 7


def test_a_container_sees_its_own_group_as_the_root(tmp_path):
    files = {"memory.max": f"{8 * GIB}", "memory.current": f"{GIB}", "memory.stat": "anon 1\n"}
    limit = cgroups(tmp_path, "0::/somewhere/outside\n", files)
    assert (limit.bytes, limit.used()) == (8 * GIB, GIB)


def test_the_older_groups_are_read(tmp_path):
    files = {
        "memory/slurm/memory.limit_in_bytes": f"{4 * GIB}",
        "memory/slurm/memory.usage_in_bytes": f"{3 * GIB}",
        "memory/slurm/memory.stat": f"total_inactive_file {GIB}\n",
        "memory/memory.limit_in_bytes": "9223372036854771712",
    }
    limit = cgroups(tmp_path, "5:cpu,cpuacct:/\n4:memory:/slurm\n0::/\n", files)
    assert (limit.bytes, limit.used()) == (4 * GIB, 2 * GIB)


@pytest.mark.parametrize("content", ["max", str(64 * GIB), "9223372036854771712", ""])
def test_no_limit_below_the_machine_is_none(tmp_path, content):
    assert cgroups(tmp_path, "0::/\n", {"memory.max": content}) is None


# Torch's allocator.


def fake_torch(monkeypatch, *devices, initialized=True):
    def stats(device):
        assert initialized, "this would have been the first use of CUDA"
        return devices[device]

    cuda = SimpleNamespace(
        is_initialized=lambda: initialized,
        device_count=lambda: len(devices),
        memory_stats_as_nested_dict=stats,
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))


def stats(allocated, reserved, retries=0, ooms=0):
    def level(now, peak):
        return {"all": {"current": int(now * GIB), "peak": int(peak * GIB)}}

    return {
        "allocated_bytes": level(*allocated),
        "reserved_bytes": level(*reserved),
        "num_alloc_retries": retries,
        "num_ooms": ooms,
    }


def test_the_allocator_tells_of_the_gpu_it_fills_most(monkeypatch):
    fake_torch(monkeypatch, stats((1, 2), (3, 4), 1), stats((10, 30), (40, 41), 2, 1), {})
    assert torch_memory() == {
        "resource/torch_allocated": 10,
        "resource/torch_allocated_peak": 30,
        "resource/torch_reserved": 40,
        "resource/torch_reserved_peak": 41,
        "resource/torch_alloc_retries": 3,
        "resource/torch_ooms": 1,
    }
    assert torch_memory([0])["resource/torch_reserved"] == 3


def test_cuda_is_never_begun(monkeypatch):
    fake_torch(monkeypatch, stats((1, 1), (1, 1)), initialized=False)
    assert torch_memory() == {}
    monkeypatch.delitem(sys.modules, "torch")
    assert torch_memory() == {}
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())  # in the middle of its import
    assert torch_memory() == {}


def test_an_installed_torch_without_a_gpu_has_no_numbers():
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert torch_memory() == {}
    assert not torch.cuda.is_initialized()


def test_the_allocator_is_read_in_the_thread_that_trains_once_a_sample(tmp_path, monkeypatch):
    readers = []
    monkeypatch.setattr(
        resources,
        "torch_memory",
        lambda gpus: readers.append(threading.current_thread()) or {"resource/torch_ooms": 0},
    )
    one = ResourceSampler(tmp_path, interval=600)
    one.start()
    until(lambda: one._ready is not None)
    assert all(one.latest()["resource/torch_ooms"] == 0 for _ in range(3))
    one.stop()
    assert readers == [threading.main_thread()]


# Names.


def test_everything_measured_is_a_metric_and_every_metric_is_measured(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", RecordedNVML([gpu(), gpu("GPU-1")]))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    fake_torch(monkeypatch, stats((1, 1), (1, 1)))
    one = ResourceSampler(tmp_path)
    machine, gpus = one._measured
    gpus.open()
    files = {"memory.max": f"{GIB}", "memory.current": "1", "memory.stat": ""}
    machine._limit = cgroups(tmp_path, "0::/\n", files)
    one._sample()
    one._sample()
    metrics = {metric_of(name) for name in one.latest()}
    assert None not in metrics
    rows = {name for name in METRICS if name.startswith("resource/")}
    assert {metric.name for metric in metrics} == rows - {"resource/checkpoint_size"}

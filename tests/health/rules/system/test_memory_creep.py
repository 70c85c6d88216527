"""SYS004 memory-creep: runs on which it must speak, and runs on which it must be silent."""

import numpy as np
import pytest

from health.timed import found
from rldk import testing
from rldk.testing import line, noise

SEEDS = range(6)
LONG = {"max_steps": 2000}
HOUR = 400  # records of 20 s: two hours and more


def machine(process, total=64.0, others=10.0, **more):
    """What a machine shows whose memory a process takes up."""
    process = np.asarray(process, dtype=float)
    return {
        "resource/process_memory": process,
        "resource/memory_used": others + process,
        "resource/memory_total": np.full(len(process), total),
        **more,
    }


def gpu(allocated, reserved=None, used=None, total=80.0):
    allocated = np.asarray(allocated, dtype=float)
    reserved = np.maximum.accumulate(allocated + 4) if reserved is None else reserved
    return {
        "resource/torch_allocated_peak": allocated,
        "resource/torch_reserved": reserved,
        "resource/gpu0_memory_used": reserved + 2 if used is None else used,
        "resource/gpu0_memory_total": np.full(len(allocated), total),
    }


def creep(columns, options=LONG, **more):
    return found(columns, "memory-creep", options=options, **more)


# What is measured.
@pytest.mark.parametrize("seed", SEEDS)
def test_a_process_that_will_fill_the_machine_is_named_before_it_does(seed):
    process = line(8, 20, HOUR) + np.abs(noise(HOUR, 0.1, seed=seed))
    finding = creep(machine(process))
    assert finding.severity == "warning"
    assert finding.first_step <= 400  # of 1,427 that it would live
    assert "the memory of the process rose evenly" in finding.message


def test_a_leak_that_has_room_until_the_end_is_silent():
    assert creep(machine(line(8, 12, HOUR), total=1024.0)) is None
    assert creep(machine(line(8, 20, HOUR)), {"max_steps": HOUR + 50}) is None


def test_a_run_without_a_planned_end_is_taken_to_go_on_as_long_again():
    assert creep(machine(line(8, 40, HOUR)), {"max_steps": -1}).severity == "warning"
    assert creep(machine(line(8, 20, HOUR)), {"max_steps": -1}) is None


def test_the_end_is_known_by_the_epochs():
    columns = machine(line(8, 20, HOUR)) | {"epoch": np.arange(1, HOUR + 1) / 1000}
    assert creep(columns, {"max_steps": -1, "num_train_epochs": 2.0}).severity == "warning"
    assert creep(columns, {"max_steps": -1, "num_train_epochs": 0.4}) is None


def test_the_limit_of_a_container_is_narrower_than_the_machine():
    process = line(8, 12, HOUR)
    assert creep(machine(process, total=512.0)) is None
    limited = {"resource/memory_limit": np.full(HOUR, 24.0), "resource/memory_limit_used": process + 1}
    assert creep(machine(process, total=512.0, **limited)).severity == "warning"


def test_growth_while_caches_warm_up_is_healthy():
    records = np.arange(HOUR)
    assert creep(machine(8 + 30 * (1 - np.exp(-records / 60)))) is None  # levels off
    assert creep(machine(8 + 5 * np.log1p(records))) is None  # levels off, slowly
    fast = machine(line(8, 20, 150))
    assert creep(fast, seconds=1.0) is None  # two and a half minutes are too few


def test_a_dataset_that_is_mapped_into_memory_is_no_leak():
    mapped = machine(line(8, 20, HOUR)) | {"resource/memory_used": 58 + np.abs(noise(HOUR, 0.1))}
    assert creep(mapped) is None  # the process holds more, and the machine has as much left as before


def test_a_plateau_of_hours_is_healthy():
    for seed in range(20):
        columns = machine(40 + noise(1000, 0.5, seed=seed, rho=0.9), total=64.0)
        tensors = 60 + noise(1000, 2, seed=seed)
        assert creep(columns | gpu(tensors), {"max_steps": 100_000}) is None
        assert creep(columns | gpu(np.maximum.accumulate(tensors)), {"max_steps": 100_000}) is None


def test_a_sawtooth_is_healthy():
    saw = 20 + np.arange(1000) % 40 * 0.4
    assert creep(machine(saw), {"max_steps": 100_000}) is None
    assert creep(gpu(saw * 2), {"max_steps": 100_000}) is None


def test_jumps_by_other_things_are_no_creep():
    stairs = 10 + 8.0 * (np.arange(HOUR) > 150) + 8.0 * (np.arange(HOUR) > 320)
    assert creep(machine(stairs)) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_tensors_that_will_fill_the_gpu_are_named(seed):
    peaks = np.maximum.accumulate(line(30, 45, HOUR) + noise(HOUR, 0.5, seed=seed))
    finding = creep(gpu(peaks))
    assert finding.severity == "warning"
    assert "the peak memory of tensors" in finding.message


def test_what_fills_the_gpu_beside_torch_is_named():
    finding = creep(gpu(np.full(HOUR, 20.0), used=line(40, 60, HOUR)))
    assert finding.severity == "warning"
    assert "the memory of GPU 0 without torch's cache" in finding.message


def test_an_engine_that_takes_its_share_at_once_is_healthy():
    full = gpu(np.full(HOUR, 20.0), used=np.full(HOUR, 78.6))  # 98%: 0.9 for vLLM, the rest a cache
    assert creep(full) is None


def test_a_machine_that_is_all_but_full_is_named_at_once():
    process = np.concatenate([np.full(20, 20.0), np.full(20, 53.0)])
    finding = creep(machine(process, total=64.0))
    assert finding.severity == "warning"
    assert (finding.onset_step, finding.first_step) == (21, 25)
    brief = np.concatenate([np.full(20, 20.0), np.full(4, 53.0), np.full(20, 20.0)])
    assert creep(machine(brief, total=64.0)) is None
    large = machine(np.full(40, 995.0), total=1024.0)  # 98%, and 19 GiB left
    assert creep(large) is None


def test_requests_that_found_no_memory_are_told():
    grown = np.concatenate([np.full(30, 1.0), np.full(30, 3.0)])
    finding = creep({"resource/torch_ooms": grown, **gpu(np.full(60, 70.0))})
    assert finding.severity == "warning"
    assert "2 times" in finding.message
    steady = np.full(60, 4.0)  # a batch size that was looked for before the first step
    assert creep({"resource/torch_ooms": steady, **gpu(np.full(60, 70.0))}) is None


def test_an_allocator_that_keeps_emptying_its_cache_is_info():
    often = creep({"resource/torch_alloc_retries": np.arange(100.0), **gpu(np.full(100, 76.0))})
    assert often.severity == "info"
    once = np.concatenate([np.zeros(50), np.ones(50)])
    assert creep({"resource/torch_alloc_retries": once, **gpu(np.full(100, 76.0))}) is None


# What a framework logs.
def test_a_leak_is_named():
    columns = {"memory_allocated_peak": line(50, 75, 200)}
    finding = testing.found(columns, "memory-creep")
    assert finding.severity == "warning"
    assert finding.first_step == 100


def test_a_leak_beside_longer_answers_is_info():
    columns = {"memory_allocated_peak": line(50, 75, 200), "completion_length_mean": line(300, 900, 200)}
    assert testing.found(columns, "memory-creep").severity == "info"


def test_a_peak_that_levels_is_usual():
    peaks = np.maximum.accumulate(60 + np.abs(noise(300, 1.5)))
    assert testing.found({"memory_reserved_peak": peaks}, "memory-creep") is None
    jump = np.concatenate([np.full(150, 42.0), np.full(150, 80.0)])
    assert testing.found({"cpu_memory_used": jump + noise(300, 0.3)}, "memory-creep") is None

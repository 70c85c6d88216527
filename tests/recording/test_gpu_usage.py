"""GPUs through a recorded NVML: what is read, whose, and what is said of what is not."""

import sys

import pytest

from recording.nvml import LOST, NOT_SUPPORTED, TIMEOUT, RecordedNVML, Refusal, gpu, memory, utilization
from rldk.recording.gpu_usage import GPUs, visible


@pytest.fixture
def library(monkeypatch):
    """Puts a recorded library in the place of `pynvml`."""

    def install(*gpus, **options):
        nvml = RecordedNVML(gpus, **options)
        monkeypatch.setitem(sys.modules, "pynvml", nvml)
        return nvml

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return install


def opened(gpus=None):
    one = GPUs(gpus)
    one.open()
    return one


def test_each_gpu_tells_its_readings_in_our_units(library):
    library(
        gpu(),
        gpu("GPU-1", nvmlDeviceGetUtilizationRates=utilization(3), nvmlDeviceGetMemoryInfo=memory(0.5, 24)),
    )
    gpus = opened()
    values = gpus.read()
    assert gpus.missing == {}
    assert {name: value for name, value in values.items() if name.startswith("gpu0")} == {
        "gpu0_utilization": 87.0,
        "gpu0_memory_used": 61.5,
        "gpu0_memory_total": 80.0,
        "gpu0_power": 412.345,
        "gpu0_power_limit": 700.0,
        "gpu0_temperature": 64.0,
        "gpu0_throttled": 0.0,
    }
    assert (values["gpu1_utilization"], values["gpu1_memory_used"], values["gpu1_memory_total"]) == (
        3,
        0.5,
        24,
    )


@pytest.mark.parametrize(
    ("reasons", "throttled"),
    [
        (0, 0.0),
        (0x1, 0.0),  # idle
        (0x2, 0.0),  # clocks that somebody set
        (0x4, 0.0),  # at its power limit, as under any load
        (0x10, 0.0),  # clocks in step with other GPUs
        (0x8, 1.0),  # hardware slowdown
        (0x20, 1.0),  # software thermal slowdown
        (0x40 | 0x4, 1.0),  # hardware thermal slowdown
        (0x80, 1.0),  # power brake
    ],
)
def test_only_a_slow_down_is_throttling(library, reasons, throttled):
    library(gpu(nvmlDeviceGetCurrentClocksThrottleReasons=reasons))
    assert opened().read()["gpu0_throttled"] == throttled


UUIDS = ("GPU-aaaa-1", "GPU-bbbb-2", "GPU-bbcc-3")


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (None, [0, 1, 2]),
        ("1", [1]),
        ("2,0", [2, 0]),
        (" 2 , 0", [2, 0]),
        ("", []),
        ("-1", []),
        ("0,-1,2", [0]),
        ("0,7,1", [0]),
        ("1,1", []),
        ("GPU-bbbb-2", [1]),
        ("GPU-bbcc,GPU-a", [2, 0]),
        ("GPU-bb", []),
        ("GPU-dddd,GPU-aaaa", []),
        ("NoDevFiles", []),
    ],
)
def test_visible_devices_are_read_as_cuda_reads_them(setting, expected):
    nvml = RecordedNVML([gpu(uuid) for uuid in UUIDS])
    assert [UUIDS.index(one["nvmlDeviceGetUUID"]) for one in visible(nvml, setting)] == expected


def test_numbers_are_those_of_torch(library, monkeypatch):
    library(gpu(nvmlDeviceGetTemperature=30), gpu("GPU-1", nvmlDeviceGetTemperature=40))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")
    values = opened().read()
    assert (values["gpu0_temperature"], values["gpu1_temperature"]) == (40, 30)
    assert {name[:4] for name in opened([1]).read()} == {"gpu1"}


def test_no_visible_gpu_is_said(library, monkeypatch):
    library(gpu())
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    gpus = opened()
    assert gpus.read() == {}
    assert "may use no NVIDIA GPU" in gpus.missing["gpus"]


def test_an_instance_of_a_divided_gpu_tells_its_memory(library, monkeypatch):
    refused = dict.fromkeys((name for name in gpu() if name.startswith("nvmlDeviceGet")), NOT_SUPPORTED)
    instance = gpu() | refused | {"nvmlDeviceGetMemoryInfo": memory(5, 10), "nvmlDeviceGetUUID": "MIG-1"}
    library(gpu(), instances=[instance])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1")
    gpus = opened()
    assert gpus.read() == {"gpu0_memory_used": 5.0, "gpu0_memory_total": 10.0}
    assert "utilization, power, power limit, temperature, throttling (Not Supported)" in gpus.missing["gpu0"]


def test_what_a_gpu_refuses_is_not_asked_again(library):
    nvml = library(gpu(nvmlDeviceGetPowerUsage=NOT_SUPPORTED))
    gpus = opened()
    for _ in range(5):
        values = gpus.read()
        assert "gpu0_power" not in values
        assert values["gpu0_temperature"] == 64
    assert nvml.calls["nvmlDeviceGetPowerUsage"] == 1
    assert gpus.missing == {"gpu0": "GPU 0 does not tell its power (Not Supported)"}


def test_one_answer_that_fails_is_absent_once(library):
    library(gpu(nvmlDeviceGetTemperature=[50, TIMEOUT, 52]))
    gpus = opened()
    assert [gpus.read().get("gpu0_temperature") for _ in range(3)] == [50, None, 52]
    assert gpus.missing == {}


def test_a_gpu_that_falls_off_the_bus_is_given_up_and_the_other_is_not(library):
    lost = {name: [reading, LOST] for name, reading in gpu().items() if name != "nvmlDeviceGetUUID"}
    nvml = library(gpu(**lost), gpu("GPU-1"))
    gpus = opened()
    assert "gpu0_power" in gpus.read()
    for _ in range(3):
        assert {name[:4] for name in gpus.read()} == {"gpu1"}
    assert gpus.missing == {"gpu0": "GPU 0 is not read any more: GPU is lost"}
    asked = nvml.calls["nvmlDeviceGetPowerUsage"]
    gpus.read()
    assert nvml.calls["nvmlDeviceGetPowerUsage"] == asked + 1


def test_a_gpu_lost_from_the_start_leaves_the_others_their_numbers(library):
    library(LOST, gpu("GPU-1"))
    assert {name[:4] for name in opened().read()} == {"gpu1"}


@pytest.mark.parametrize("code", [12, 9, 18, 999])  # no library, no driver, two versions, unknown
def test_a_machine_without_a_driver_is_told_in_words(library, code):
    library(start=Refusal(code))
    gpus = opened()
    assert gpus.read() == {}
    assert "no NVIDIA driver answers" in gpus.missing["gpus"]
    gpus.close()


def test_nvml_is_let_go(library):
    nvml = library(gpu())
    gpus = opened()
    gpus.read()
    gpus.close()
    assert gpus.read() == {}
    assert (nvml.calls["nvmlInit"], nvml.calls["nvmlShutdown"]) == (1, 1)

"""NVIDIA GPUs, asked through NVML, which neither initialises CUDA nor waits for a kernel.

Invariant: nothing raises; a reading that a GPU refuses is absent, a GPU that answers nothing any more is
given up, and each is said once. The numbering is torch's: `gpu0` is the first of `CUDA_VISIBLE_DEVICES`.
"""

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from rldk.recording.host_usage import GIB

__all__ = ["GPUs", "visible"]

SLOWDOWN = 0x8 | 0x20 | 0x40 | 0x80
"""Reasons for a lower clock that are trouble: hardware slowdown, software and hardware thermal slowdown,
power brake (NVML's clocks event reasons). A cap by the power limit, by the clocks that somebody set, or for
want of work is none."""

_GIVEN_UP_AFTER = 3
"""Samples in a row without any answer after which a GPU is not asked again: each such call may take long."""


def _utilization(nvml: Any, handle: Any) -> dict[str, float]:
    return {"utilization": float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)}


def _memory(nvml: Any, handle: Any) -> dict[str, float]:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)
    return {"memory_used": memory.used / GIB, "memory_total": memory.total / GIB}


def _power(nvml: Any, handle: Any) -> dict[str, float]:
    return {"power": nvml.nvmlDeviceGetPowerUsage(handle) / 1000}


def _power_limit(nvml: Any, handle: Any) -> dict[str, float]:
    return {"power_limit": nvml.nvmlDeviceGetEnforcedPowerLimit(handle) / 1000}


def _temperature(nvml: Any, handle: Any) -> dict[str, float]:
    return {"temperature": float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))}


def _throttled(nvml: Any, handle: Any) -> dict[str, float]:
    # The name that drivers before 535 know too.
    return {"throttled": float(bool(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle) & SLOWDOWN))}


_Reading = Callable[[Any, Any], dict[str, float]]
_READINGS: dict[str, _Reading] = {
    "utilization": _utilization,
    "memory": _memory,
    "power": _power,
    "power limit": _power_limit,
    "temperature": _temperature,
    "throttling": _throttled,
}


class GPUs:
    """The GPUs that this process may use.

    Args:
        gpus: those of them that are asked, by torch's numbers; None: all.
    """

    def __init__(self, gpus: Sequence[int] | None = None) -> None:
        self.missing: dict[str, str] = {}
        """What cannot be read, and why."""
        self._chosen = gpus
        self._nvml: Any = None
        self._devices: list[_Device] = []

    def open(self) -> None:
        """Load NVML. Without persistence mode the driver may take seconds: not for the training's thread."""
        try:
            import pynvml
        except Exception as error:
            self.missing["gpus"] = f"no GPU readings: cannot import pynvml ({error})"
            return
        try:
            pynvml.nvmlInit()
        except Exception as error:
            self.missing["gpus"] = f"no GPU readings: no NVIDIA driver answers ({error})"
            return
        self._nvml = pynvml
        try:
            handles = visible(pynvml, os.environ.get("CUDA_VISIBLE_DEVICES"))
        except Exception as error:
            handles = []
            self.missing["gpus"] = f"no GPU readings: {error}"
        self._devices = [
            _Device(index, handle)
            for index, handle in enumerate(handles)
            if handle is not None and (self._chosen is None or index in self._chosen)
        ]
        if not self._devices:
            self.missing.setdefault("gpus", "no GPU readings: this process may use no NVIDIA GPU")

    def read(self) -> dict[str, float]:
        """Every number that the GPUs tell, by its name without `resource/`."""
        values: dict[str, float] = {}
        for device in list(self._devices):
            values |= device.read(self._nvml, self.missing)
            if device.silent >= _GIVEN_UP_AFTER:
                self._devices.remove(device)
                self.missing[device.name] = f"GPU {device.index} is not read any more: {device.error}"
        return values

    def close(self) -> None:
        """Let go of NVML."""
        nvml, self._nvml, self._devices = self._nvml, None, []
        if nvml is not None:
            with suppress(Exception):
                nvml.nvmlShutdown()


class _Device:
    """One GPU, or one instance of a GPU that is divided (MIG)."""

    def __init__(self, index: int, handle: Any) -> None:
        self.index = index
        self.name = f"gpu{index}"
        self.silent = 0
        self.error: Exception | None = None
        self._handle = handle
        self._readings = dict(_READINGS)

    def read(self, nvml: Any, missing: dict[str, str]) -> dict[str, float]:
        refusals = (
            nvml.NVMLError_NotSupported,
            nvml.NVMLError_NoPermission,
            nvml.NVMLError_FunctionNotFound,
            nvml.NVMLError_InvalidArgument,
            AttributeError,
        )
        values: dict[str, float] = {}
        for what, reading in list(self._readings.items()):
            try:
                number = reading(nvml, self._handle)
            except refusals as error:
                self.error = error
                del self._readings[what]
                refused = ", ".join(name for name in _READINGS if name not in self._readings)
                missing[self.name] = f"GPU {self.index} does not tell its {refused} ({error})"
            except Exception as error:
                self.error = error
            else:
                values |= {f"{self.name}_{name}": value for name, value in number.items()}
        self.silent = 0 if values else self.silent + 1
        return values


def visible(nvml: Any, setting: str | None) -> list[Any]:
    """NVML's handles of the GPUs that CUDA shows to a process, in CUDA's order; None for one that is lost.

    Args:
        nvml: the module `pynvml`, initialised.
        setting: `CUDA_VISIBLE_DEVICES`; None where it is not set. As CUDA reads it: indices, or UUIDs that
            may be cut short, up to the first that is none; none at all where one stands there twice.

    CUDA puts the fastest GPU first unless `CUDA_DEVICE_ORDER=PCI_BUS_ID` is set, NVML does not: in a machine
    with GPUs of several models the numbers may differ.

    Raises:
        NVMLError: NVML answers nothing.
    """
    handles = [
        _or_none(nvml, nvml.nvmlDeviceGetHandleByIndex, index) for index in range(nvml.nvmlDeviceGetCount())
    ]
    if setting is None:
        return handles
    names = [name.strip() for name in setting.split(",")]
    if len(set(names)) < len(names):
        return []
    found = []
    for name in names:
        if name.startswith("MIG-"):
            matching = [_or_none(nvml, nvml.nvmlDeviceGetHandleByUUID, name)]
        elif name.startswith("GPU-"):
            matching = [one for one in handles if _uuid(nvml, one).startswith(name)]
        else:
            matching = handles[int(name) :][:1] if name.isdecimal() else []
        if len(matching) != 1:
            break
        found += matching
    return found


def _uuid(nvml: Any, handle: Any) -> str:
    return "" if handle is None else _or_none(nvml, nvml.nvmlDeviceGetUUID, handle) or ""


def _or_none(nvml: Any, ask: Callable[[Any], Any], handle: Any) -> Any:
    """What NVML answers; None for a GPU that is lost, or that this process may not see."""
    try:
        return ask(handle)
    except nvml.NVMLError:
        return None

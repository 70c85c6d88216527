"""A recorded NVML: the real `pynvml` with its functions replaying a table of readings.

A function, constant or field that the real module lacks raises AttributeError, and a call that the real
function would not take raises TypeError, so that code under test cannot use what does not exist.
"""

import inspect
from collections import Counter
from types import ModuleType

import pynvml

GIB = 2**30


class Refusal(int):
    """An NVML error code, raised instead of returned."""


def utilization(percent):
    return pynvml.c_nvmlUtilization_t(gpu=percent, memory=percent // 2)


def memory(used, total=80):
    return pynvml.c_nvmlMemory_t(total=int(total * GIB), used=int(used * GIB), free=int((total - used) * GIB))


NOT_SUPPORTED = Refusal(pynvml.NVML_ERROR_NOT_SUPPORTED)
LOST = Refusal(pynvml.NVML_ERROR_GPU_IS_LOST)
TIMEOUT = Refusal(pynvml.NVML_ERROR_TIMEOUT)


def gpu(uuid="GPU-0", **changed):
    """What one GPU tells: by function, a reading or a list of them in turn, of which the last one stays."""
    return {
        "nvmlDeviceGetUUID": uuid,
        "nvmlDeviceGetUtilizationRates": utilization(87),
        "nvmlDeviceGetMemoryInfo": memory(61.5),
        "nvmlDeviceGetPowerUsage": 412_345,
        "nvmlDeviceGetEnforcedPowerLimit": 700_000,
        "nvmlDeviceGetTemperature": 64,
        "nvmlDeviceGetCurrentClocksThrottleReasons": 0x4,
        **changed,
    }


class RecordedNVML(ModuleType):
    """Stands in for `pynvml`: `gpus` by index, `instances` of divided GPUs by UUID; a handle is its table."""

    def __init__(self, gpus, instances=(), start=None):
        super().__init__("pynvml")
        self.calls = Counter()
        self._gpus, self._instances, self._start = gpus, instances, start

    def __getattr__(self, name):
        real = getattr(pynvml, name)
        if not name.startswith("nvml") or not callable(real):
            return real
        signature = inspect.signature(real)

        def replay(*args, **kwargs):
            signature.bind(*args, **kwargs)
            self.calls[name] += 1
            return self._answer(name, *args)

        return replay

    def _answer(self, name, *args):
        if name == "nvmlInit":
            return self._told(self._start)
        if name == "nvmlShutdown":
            return None
        if name == "nvmlSystemGetDriverVersion":
            return "580.95.05"
        if name == "nvmlDeviceGetCount":
            return len(self._gpus)
        if name == "nvmlDeviceGetHandleByIndex":
            return self._told(self._gpus[args[0]])
        if name == "nvmlDeviceGetHandleByUUID":
            known = {one["nvmlDeviceGetUUID"]: one for one in self._instances}
            return self._told(known.get(args[0], Refusal(pynvml.NVML_ERROR_NOT_FOUND)))
        reading = args[0][name]
        if isinstance(reading, list):
            reading = reading.pop(0) if len(reading) > 1 else reading[0]
        return self._told(reading)

    @staticmethod
    def _told(reading):
        if isinstance(reading, Refusal):
            raise pynvml.NVMLError(int(reading))
        return reading

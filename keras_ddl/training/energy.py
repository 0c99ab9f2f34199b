"""Energy of the GPUs, from the counters that the NVIDIA driver keeps."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable

from keras_ddl.training.devices import Devices

LIBRARY = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"  # NVML, the driver's
VISIBLE = "CUDA_VISIBLE_DEVICES"


class EnergyMeter:
    """Joules since a training began, over all its runs.

    Args:
        read: Returns the joules on the counters, which only grow, or None where nothing is
            reported.
        before: Joules of the runs that this one goes on from; None where they are not known.
    """

    def __init__(self, read: Callable[[], float | None], before: float | None) -> None:
        self._read, self._before = read, before
        self._start = read()

    def joules(self) -> float | None:
        """Joules so far; None where a part of them was not reported."""
        now = self._read()
        if now is None or self._start is None or self._before is None:
            return None
        return self._before + now - self._start


def energy_meter(devices: Devices, before: float | None) -> EnergyMeter:
    """Return a meter of the GPUs that train; of several workers, no one sees the others' GPUs."""
    from keras_ddl.framework import tf

    gpus = len(tf.config.list_physical_devices("GPU")) if devices.workers == 1 else 0
    return EnergyMeter(lambda: gpu_joules(min(gpus, devices.replicas)), before)


def gpu_joules(count: int) -> float | None:
    """Joules that this process' first GPUs have used since the driver was loaded.

    That is NVML's total energy counter (Volta and later), of the whole card: other programs on it
    are counted too.

    Args:
        count: How many of the GPUs that CUDA shows to this process.

    Returns:
        None without a GPU or a driver, or where a card has no such counter.
    """
    if count < 1:
        return None
    try:
        nvml = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    if nvml.nvmlInit_v2():
        return None
    try:
        used = [_millijoules(nvml, gpu) for gpu in _names(count)]
    finally:
        nvml.nvmlShutdown()
    return None if None in used else sum(value for value in used if value is not None) / 1000


def _names(count: int) -> list[str]:
    """What the user calls the GPUs: by index or by UUID."""
    chosen = os.environ.get(VISIBLE)
    shown = [str(number) for number in range(count)] if chosen is None else chosen.split(",")
    return [name.strip() for name in shown[:count]]


def _millijoules(nvml: ctypes.CDLL, gpu: str) -> int | None:
    handle, used = ctypes.c_void_p(), ctypes.c_ulonglong()
    found = (
        nvml.nvmlDeviceGetHandleByIndex_v2(ctypes.c_uint(int(gpu)), ctypes.byref(handle))
        if gpu.isdigit()
        else nvml.nvmlDeviceGetHandleByUUID(gpu.encode(), ctypes.byref(handle))
    )
    if found or nvml.nvmlDeviceGetTotalEnergyConsumption(handle, ctypes.byref(used)):
        return None
    return used.value

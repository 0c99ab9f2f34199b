"""NVIDIA GPUs of this machine, asked of the driver's library."""

from __future__ import annotations

import ctypes
import sys
from dataclasses import dataclass

from keras_ddl.edge.errors import MISSING, UserError

# File name of the CUDA driver library.
DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

# From cuda.h: attributes of a device and the length given to a name.
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
_NAME_LENGTH = 256


@dataclass(frozen=True)
class Gpu:
    """One CUDA device.

    Attributes:
        name: As the driver calls it.
        compute_capability: (major, minor).
    """

    name: str
    compute_capability: tuple[int, int]

    def __str__(self) -> str:
        return f"{self.name} (compute capability {'.'.join(map(str, self.compute_capability))})"


def gpus() -> list[Gpu]:
    """The CUDA devices that the driver sees, none where there is no driver.

    Asks the driver library itself: it needs no package, is the same on servers and Jetsons, and
    answers with an error code where there is no GPU, which `tensorrt.Runtime` of 8.6 does not
    survive. So look here before touching TensorRT's runtime.
    """
    try:
        cuda = ctypes.CDLL(DRIVER)
    except OSError:
        return []
    count = ctypes.c_int()
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return []
    return [_gpu(cuda, index) for index in range(count.value)]


def _gpu(cuda: ctypes.CDLL, index: int) -> Gpu:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_LENGTH)
    codes = [
        cuda.cuDeviceGet(ctypes.byref(device), index),
        cuda.cuDeviceGetName(name, _NAME_LENGTH, device),
        cuda.cuDeviceGetAttribute(ctypes.byref(major), _CAPABILITY_MAJOR, device),
        cuda.cuDeviceGetAttribute(ctypes.byref(minor), _CAPABILITY_MINOR, device),
    ]
    if any(codes):
        raise UserError(f"the CUDA driver cannot describe GPU {index} (codes {codes})", MISSING)
    return Gpu(name.value.decode(errors="replace"), (major.value, minor.value))


def first_gpu() -> Gpu:
    """The GPU that TensorRT takes by default.

    Raises:
        UserError: there is none; exit code 3.
    """
    found = gpus()
    if not found:
        raise UserError(
            "no NVIDIA GPU found: run this on the server or Jetson that has the GPU (nvidia-smi "
            "lists it where the driver works)",
            MISSING,
        )
    return found[0]

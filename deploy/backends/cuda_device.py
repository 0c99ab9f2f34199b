"""CUDA device: the few calls that TensorRT needs, with codes turned into one-line errors."""

from __future__ import annotations

import ctypes
import importlib
from typing import Any

import numpy as np

from keras_ddl.edge.errors import MISSING, UserError

NAMES = ("cuda.bindings.runtime", "cuda.cudart")  # cuda-python 12.6 and later, and before


def cuda_runtime() -> Any:
    """Import NVIDIA's Python bindings of the CUDA runtime.

    Raises:
        UserError: not importable; exit code 3.
    """
    reason = ""
    for name in NAMES:
        try:
            return importlib.import_module(name)
        except (ImportError, OSError) as error:
            reason = reason or (str(error).splitlines() or [type(error).__name__])[0]
    raise UserError(
        f"running an engine needs cuda-bindings ({reason}): pip install cuda-bindings, of your "
        "CUDA's major version",
        MISSING,
    )


class CudaDevice:
    """Device memory, pinned host memory and one stream; all of it is released by `close`.

    Raises:
        UserError: a CUDA call fails, out of memory included; exit code 3.
    """

    def __init__(self) -> None:
        self._cuda = cuda_runtime()
        self._device: list[int] = []
        self._pinned: list[int] = []
        # Not the default stream: that one waits for, and holds up, every other.
        self.stream = self._call("cudaStreamCreateWithFlags", self._cuda.cudaStreamNonBlocking)

    @property
    def stream_handle(self) -> int:
        """The stream as the number that TensorRT takes."""
        return int(self.stream)

    def allocate(self, size: int) -> int:
        """Address of `size` bytes of device memory."""
        self._device.append(int(self._call("cudaMalloc", max(1, size))))
        return self._device[-1]

    def pinned(self, count: int, dtype: np.dtype[Any]) -> np.ndarray:
        """A flat array in host memory that the device can copy from and to while others run."""
        size = max(1, count * dtype.itemsize)
        address = int(self._call("cudaMallocHost", size))
        self._pinned.append(address)
        memory: Any = (ctypes.c_uint8 * size).from_address(address)
        return np.frombuffer(memory, dtype=dtype, count=count)

    def to_device(self, address: int, array: np.ndarray) -> None:
        """Enqueue a copy from pinned memory."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        source = array.ctypes.data
        self._call("cudaMemcpyAsync", address, source, array.nbytes, kind, self.stream)

    def to_host(self, array: np.ndarray, address: int) -> None:
        """Enqueue a copy to pinned memory."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        target = array.ctypes.data
        self._call("cudaMemcpyAsync", target, address, array.nbytes, kind, self.stream)

    def wait(self) -> None:
        """Wait until all that was enqueued is done."""
        self._call("cudaStreamSynchronize", self.stream)

    def begin_capture(self) -> None:
        """Record what is enqueued from here instead of running it."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self.stream, mode)

    def end_capture(self) -> Any:
        """End the recording; the graph can be launched."""
        graph = self._call("cudaStreamEndCapture", self.stream)
        try:
            return self._call("cudaGraphInstantiate", graph, 0)
        finally:
            self._call("cudaGraphDestroy", graph)

    def launch(self, graph: Any) -> None:
        """Enqueue a recorded graph."""
        self._call("cudaGraphLaunch", graph, self.stream)

    def forget(self, graph: Any) -> None:
        """Release a recorded graph."""
        self._call("cudaGraphExecDestroy", graph)

    def free_memory(self) -> tuple[int, int]:
        """Free and total device memory in bytes."""
        free, total = self._call("cudaMemGetInfo")
        return int(free), int(total)

    def close(self) -> None:
        """Release everything; closing twice is allowed."""
        while self._device:
            self._call("cudaFree", self._device.pop())
        while self._pinned:
            self._call("cudaFreeHost", self._pinned.pop())
        if self.stream is not None:
            self._call("cudaStreamDestroy", self.stream)
            self.stream = None

    def _call(self, name: str, *arguments: Any) -> Any:
        code, *values = getattr(self._cuda, name)(*arguments)
        if int(code):
            _, text = self._cuda.cudaGetErrorString(code)
            words = text.decode() if isinstance(text, bytes) else str(text)
            remedy = (
                "stop other programs on the GPU or build with a smaller --max-batch"
                if "memory" in words
                else "nvidia-smi tells whether the driver works"
            )
            raise UserError(f"{name} failed: {words}; {remedy}", MISSING)
        return values[0] if len(values) == 1 else tuple(values)

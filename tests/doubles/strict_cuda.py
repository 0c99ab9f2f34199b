"""A stand-in for `cuda.bindings.runtime`: a device in host memory that is as strict as a real one.

Work on a stream happens when the stream is waited for, not before; copies must lie inside what was
allocated, on the right side; what is recorded runs only when launched. Any other name is an
AttributeError. `NAMES` are held against the real bindings where these are installed.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

NAMES = (
    "cudaFree cudaFreeHost cudaGetErrorString cudaGraphDestroy cudaGraphExecDestroy "
    "cudaGraphInstantiate cudaGraphLaunch cudaMalloc cudaMallocHost cudaMemGetInfo cudaMemcpyAsync "
    "cudaMemcpyKind cudaStreamBeginCapture cudaStreamCaptureMode cudaStreamCreateWithFlags "
    "cudaStreamDestroy cudaStreamEndCapture cudaStreamNonBlocking cudaStreamSynchronize"
).split()
OK, INVALID, NO_MEMORY = 0, 1, 2
TOTAL = 1 << 30


class cudaMemcpyKind(enum.IntEnum):
    cudaMemcpyHostToDevice = 1
    cudaMemcpyDeviceToHost = 2


class cudaStreamCaptureMode(enum.IntEnum):
    cudaStreamCaptureModeThreadLocal = 1


class Stream:
    """A queue of work."""

    def __init__(self, handle: int) -> None:
        self.handle = handle
        self.queue: list[Callable[[], None]] = []
        self.recording: list[Callable[[], None]] | None = None

    def __int__(self) -> int:
        return self.handle

    def push(self, work: Callable[[], None]) -> None:
        (self.queue if self.recording is None else self.recording).append(work)


class StrictCuda:
    """The device; `module` is what gets imported."""

    def __init__(self, room: int = TOTAL) -> None:
        self.room = room
        self.device: dict[int, Any] = {}
        self.host: dict[int, Any] = {}
        self.streams: dict[int, Stream] = {}
        self.launches = self.captures = 0
        self.alive = 0  # graphs, of both kinds
        functions = {name: getattr(self, f"_{name}") for name in NAMES if hasattr(self, f"_{name}")}
        self.module = SimpleNamespace(
            cudaMemcpyKind=cudaMemcpyKind,
            cudaStreamCaptureMode=cudaStreamCaptureMode,
            cudaStreamNonBlocking=1,
            **functions,
        )

    @property
    def leaks(self) -> int:
        """Allocations, streams and graphs that nobody has released."""
        return len(self.device) + len(self.host) + len(self.streams) + self.alive

    def holds(self, memory: dict[int, Any], address: int, size: int) -> bool:
        return any(
            start <= address and address + size <= start + len(block)
            for start, block in memory.items()
        )

    def _allocate(self, memory: dict[int, Any], size: int) -> tuple[int, int | None]:
        if size > self.room:
            return NO_MEMORY, None
        block = (ctypes.c_uint8 * size)()
        address = ctypes.addressof(block)
        memory[address] = block
        return OK, address

    def _cudaMalloc(self, size: int) -> tuple[int, int | None]:
        return self._allocate(self.device, size)

    def _cudaMallocHost(self, size: int) -> tuple[int, int | None]:
        return self._allocate(self.host, size)

    def _cudaFree(self, address: int) -> tuple[int]:
        return (OK if self.device.pop(address, None) is not None else INVALID,)

    def _cudaFreeHost(self, address: int) -> tuple[int]:
        return (OK if self.host.pop(address, None) is not None else INVALID,)

    def _cudaMemGetInfo(self) -> tuple[int, int, int]:
        return OK, TOTAL // 2, TOTAL

    def _cudaStreamCreateWithFlags(self, flags: int) -> tuple[int, Stream]:
        assert flags == 1
        stream = Stream(1000 + len(self.streams))
        self.streams[int(stream)] = stream
        return OK, stream

    def _cudaStreamDestroy(self, stream: Stream) -> tuple[int]:
        return (OK if self.streams.pop(int(stream), None) is not None else INVALID,)

    def _cudaStreamSynchronize(self, stream: Stream) -> tuple[int]:
        if stream.recording is not None:
            return (INVALID,)  # real CUDA ends the recording with an error
        work, stream.queue = stream.queue, []
        for item in work:
            item()
        return (OK,)

    def _cudaMemcpyAsync(
        self, to: int, source: int, size: int, kind: cudaMemcpyKind, stream: Stream
    ) -> tuple[int]:
        sides = (self.device, self.host)
        if kind == cudaMemcpyKind.cudaMemcpyDeviceToHost:
            sides = (self.host, self.device)
        if not self.holds(sides[0], to, size) or not self.holds(sides[1], source, size):
            return (INVALID,)
        stream.push(lambda: ctypes.memmove(to, source, size))
        return (OK,)

    def _cudaStreamBeginCapture(self, stream: Stream, mode: cudaStreamCaptureMode) -> tuple[int]:
        if stream.queue or stream.recording is not None:
            return (INVALID,)
        stream.recording = []
        return (OK,)

    def _cudaStreamEndCapture(self, stream: Stream) -> tuple[int, Any]:
        work, stream.recording = stream.recording, None
        self.captures += 1
        self.alive += 1
        return OK, SimpleNamespace(work=work)

    def _cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[int, Any]:
        self.alive += 1
        return OK, SimpleNamespace(work=list(graph.work))

    def _cudaGraphLaunch(self, graph: Any, stream: Stream) -> tuple[int]:
        self.launches += 1
        stream.queue.extend(graph.work)
        return (OK,)

    def _cudaGraphDestroy(self, graph: Any) -> tuple[int]:
        self.alive -= 1
        return (OK,)

    def _cudaGraphExecDestroy(self, graph: Any) -> tuple[int]:
        self.alive -= 1
        return (OK,)

    def _cudaGetErrorString(self, code: int) -> tuple[int, bytes]:
        return OK, {INVALID: b"invalid argument", NO_MEMORY: b"out of memory"}[code]

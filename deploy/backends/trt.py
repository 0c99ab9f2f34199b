"""Engine backend, of TensorRT and TensorRT-RTX: one stream, a CUDA graph where shapes stay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deploy.backends.base import Backend, TensorSpec
from deploy.backends.cuda_device import CudaDevice
from deploy.backends.engine_log import engine_log
from deploy.backends.gpu import first_gpu
from deploy.backends.library import LIBRARIES
from deploy.backends.sidecar import check_engine, rebuild_command
from keras_ddl.edge.errors import CHECK_FAILED, UserError

# By name: `tensorrt.nptype` of 8.6 asks NumPy for a name that newer NumPy does not have.
DTYPES = {
    "FLOAT": np.float32,
    "HALF": np.float16,
    "INT8": np.int8,
    "INT32": np.int32,
    "INT64": np.int64,
    "BOOL": np.bool_,
    "UINT8": np.uint8,
}


PROFILED = 20  # runs of which layers' times are the mean


@dataclass
class _Tensor:
    """An input or output: its device memory and its pinned twin, both as large as it can get."""

    spec: TensorSpec
    address: int
    pinned: np.ndarray


class TrtBackend(Backend):
    """A `.engine` file built by `export/to_trt.py`.

    Not for several threads at once: open one per thread, each has its own context and stream.

    Args:
        path: The engine; its sidecar is checked before TensorRT sees the file.
        cuda_graph: Record the work once and replay it. None: where the batch cannot vary. With a
            batch that varies it is recorded again whenever the size changes. TensorRT-RTX, which
            compiles while it runs, records by itself; TensorRT is recorded from outside.

    Raises:
        UserError: the library, CUDA or a GPU is missing (3), or the engine is not for here (4).
    """

    def __init__(self, path: Path, cuda_graph: bool | None = None) -> None:
        self.sidecar = check_engine(path)
        library = LIBRARIES[self.sidecar.library]
        trt = library.load()
        self._trt = trt
        self._log = engine_log(trt)
        runtime = trt.Runtime(self._log)
        if self.sidecar.version_compatible:
            runtime.engine_host_code_allowed = True
        engine = runtime.deserialize_cuda_engine(path.read_bytes())
        sizes = self.sidecar.profile
        record = sizes["min"] == sizes["max"] if cuda_graph is None else cuda_graph
        context = self._new_context(engine, record) if engine is not None else None
        if context is None:
            again = rebuild_command(self.sidecar, path)
            raise UserError(
                f"{library.name} cannot load '{path}' ({self._log.reason()}): build it again: "
                f"{again}",
                CHECK_FAILED,
            )
        self._runtime, self._engine, self._context = runtime, engine, context
        self._device = CudaDevice()
        self._graph: Any = None
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._largest: dict[str, tuple[int, ...]] = {}
        self._tensors: dict[str, _Tensor] = {}
        try:
            self._describe()
        except BaseException:
            self._device.close()
            raise
        kind = library.module.replace("_", "-")
        gpu = self.sidecar.gpu or first_gpu().name
        self.name = f"{kind} {trt.__version__} {self.sidecar.precision} {gpu}"
        self.metadata = dict(self.sidecar.metadata)

    def _new_context(self, engine: Any, record: bool) -> Any:
        strategies = getattr(self._trt, "CudaGraphStrategy", None)
        self._use_graph = record and strategies is None
        if strategies is None:
            return engine.create_execution_context()
        settings = engine.create_runtime_config()
        settings.cuda_graph_strategy = (
            strategies.WHOLE_GRAPH_CAPTURE if record else strategies.DISABLED
        )
        return engine.create_execution_context(settings)

    def _describe(self) -> None:
        """Read names, types and shapes, and reserve memory for the largest batch."""
        engine, context = self._engine, self._context
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        mode = self._trt.TensorIOMode.INPUT
        inputs = [name for name in names if engine.get_tensor_mode(name) == mode]
        for name in inputs:
            smallest, _, largest = engine.get_tensor_profile_shape(name, 0)
            self._largest[name] = tuple(largest)
            context.set_input_shape(name, tuple(largest))
            self.smallest_batch, self.largest_batch = int(smallest[0]), int(largest[0])
        for name in names:
            dtype = np.dtype(DTYPES[engine.get_tensor_dtype(name).name])
            shape = tuple(None if size < 0 else int(size) for size in engine.get_tensor_shape(name))
            count = int(np.prod(tuple(context.get_tensor_shape(name)), dtype=np.int64))
            address = self._device.allocate(count * dtype.itemsize)
            pinned = self._device.pinned(count, dtype)
            self._tensors[name] = _Tensor(TensorSpec(name, dtype, shape), address, pinned)
            context.set_tensor_address(name, address)
        specs = [self._tensors[name].spec for name in names]
        self.inputs = tuple(spec for spec in specs if spec.name in inputs)
        self.outputs = tuple(spec for spec in specs if spec.name not in inputs)

    def _run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        self._set_shapes({name: array.shape for name, array in feed.items()})
        for name, array in feed.items():
            self._tensors[name].pinned[: array.size] = array.reshape(-1)
        if self._graph is None:
            self._enqueue()  # TensorRT wants to have run once before it is recorded
            self._device.wait()
            if self._use_graph:
                self._device.begin_capture()
                self._enqueue()
                self._graph = self._device.end_capture()
        else:
            self._device.launch(self._graph)
            self._device.wait()
        return {spec.name: self._result(spec.name) for spec in self.outputs}

    def _set_shapes(self, shapes: dict[str, tuple[int, ...]]) -> None:
        if shapes == self._shapes:
            return
        for name, shape in shapes.items():
            if any(size > most for size, most in zip(shape, self._largest[name], strict=True)):
                raise ValueError(
                    f"expected at most {self._largest[name]} for '{name}', received {shape}: build "
                    "with a larger --max-batch"
                )
        self._drop_graph()
        self._shapes = {}
        for name, shape in shapes.items():
            if not self._context.set_input_shape(name, shape):
                raise ValueError(f"the engine refuses {shape} for '{name}': {self._log.reason()}")
        self._shapes = shapes

    def _enqueue(self) -> None:
        """Copy in, compute, copy out, on the one stream."""
        for spec in self.inputs:
            self._device.to_device(self._tensors[spec.name].address, self._used(spec.name))
        if not self._context.execute_async_v3(self._device.stream_handle):
            raise UserError(
                f"TensorRT cannot run '{self.name}': {self._log.reason()}", CHECK_FAILED
            )
        for spec in self.outputs:
            self._device.to_host(self._used(spec.name), self._tensors[spec.name].address)

    def _used(self, name: str) -> np.ndarray:
        """The part of a pinned buffer that the present shapes fill."""
        shape = tuple(self._context.get_tensor_shape(name))
        return self._tensors[name].pinned[: int(np.prod(shape, dtype=np.int64))]

    def _result(self, name: str) -> np.ndarray:
        shape = tuple(self._context.get_tensor_shape(name))
        return np.array(self._used(name)).reshape(shape)

    def layer_information(self) -> str:
        """What TensorRT says of the engine's layers, as JSON text; its form varies by version."""
        inspector = self._engine.create_engine_inspector()
        return str(inspector.get_engine_information(self._trt.LayerInformationFormat.JSON))

    def layer_times(self, feed: Mapping[str, np.ndarray]) -> dict[str, float]:
        """Mean milliseconds per layer over `PROFILED` runs but the first, without a CUDA graph.

        Args:
            feed: As for `infer`.
        """
        times: dict[str, list[float]] = {}
        base: Any = self._trt.IProfiler

        class LayerTimes(base):  # type: ignore[misc]
            def __init__(self) -> None:
                base.__init__(self)

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                times.setdefault(layer_name, []).append(ms)

        self.infer(feed)
        self._context.profiler = LayerTimes()
        self._context.enqueue_emits_profile = True
        for _ in range(PROFILED):
            self._enqueue()
            self._device.wait()
        return {name: float(np.mean(values[1:] or values)) for name, values in times.items()}

    def __enter__(self) -> TrtBackend:
        return self

    def close(self) -> None:
        """Release graph, memory, stream, context and engine, in this order."""
        if self._open:
            super().close()
            self._drop_graph()
            self._device.close()
            self._context = self._engine = self._runtime = None

    def _drop_graph(self) -> None:
        if self._graph is not None:
            self._device.forget(self._graph)
            self._graph = None

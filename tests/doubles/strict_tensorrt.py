"""A stand-in for one version of TensorRT, or TensorRT-RTX, with exactly the names it has.

Made from name lists that were read from the real bindings. Every other name is an AttributeError:
on the module, on every object, when reading and when setting. An "engine" is a JSON text; running
it calls a NumPy function on what lies in (strict) device memory.
"""

from __future__ import annotations

import ctypes
import enum
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from strict_cuda import StrictCuda

FOLDER = Path(__file__).parent / "tensorrt_names"
VERSIONS = sorted(path.stem for path in FOLDER.glob("*.json") if path.stem[0].isdecimal())
RTX = "rtx-1.7.1.116"
ENUMS = """
    BuilderFlag NetworkDefinitionCreationFlag MemoryPoolType ProfilingVerbosity
    HardwareCompatibilityLevel DeviceType DataType TensorIOMode LayerInformationFormat
    ComputeCapability CudaGraphStrategy
""".split()
TO_SUBCLASS = ("ILogger", "IProfiler", "IProgressMonitor")


def names_of(version: str) -> dict[str, Any]:
    """The name list of a version."""
    return json.loads((FOLDER / f"{version}.json").read_text(encoding="utf-8"))


class Strict:
    """An object that has the members of its class in one version, and no others."""

    def __init__(self, kind: str, trt: StrictTensorRT, **members: Any) -> None:
        object.__setattr__(self, "_kind", kind)
        object.__setattr__(self, "_trt", trt)
        object.__setattr__(self, "_values", {})
        for name, value in members.items():
            if name in trt.names["classes"][kind]:
                self._values[name] = value

    def __getattr__(self, name: str) -> Any:
        if name in self._trt.names["classes"][self._kind] and name in self._values:
            return self._values[name]
        raise AttributeError(f"{self._kind} of TensorRT {self._trt.version} has no {name}")

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in self._trt.names["classes"][self._kind]:
            raise AttributeError(f"{self._kind} of TensorRT {self._trt.version} has no {name}")
        self._values[name] = value
        self._trt.calls.append((self._kind, name, value))


class StrictTensorRT:
    """One version; `module` is what gets imported.

    Args:
        version: One of `VERSIONS`, or `RTX`.
        cuda: The device that contexts compute on.
        compute: Feed to outputs, by name.
        fail: "parse", "build" or "load" to have that step refuse.
    """

    def __init__(
        self,
        version: str,
        cuda: StrictCuda,
        compute: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]],
        fail: str = "",
        layer_type: str = "Half",
        size: int = 32,
    ) -> None:
        self.cuda, self.compute, self.fail = cuda, compute, fail
        self.names = names_of(version)
        self.version: str = self.names["tensorrt"]
        self.layer_type, self.size = layer_type, size
        self.calls: list[tuple[str, str, Any]] = []
        self.layers: list[Strict] = []
        self.module = _Module(self)

    def strict(self, kind: str, **members: Any) -> Strict:
        return Strict(kind, self, **members)

    def recorded(self, kind: str, name: str) -> list[Any]:
        """Arguments of the calls of one member."""
        return [value for k, n, value in self.calls if (k, n) == (kind, name)]

    def call(self, kind: str, name: str, result: Any = None) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            self.calls.append((kind, name, arguments))
            return result(*arguments) if callable(result) else result

        return run

    def enum(self, name: str) -> Any:
        members = [m for m in self.names["classes"][name] if m not in ("name", "value", "itemsize")]
        return enum.IntEnum(name, {member: i for i, member in enumerate(members)})

    # What the builder does.

    def builder(self, log: Any) -> Strict:
        return self.strict(
            "Builder",
            create_network=self.call("Builder", "create_network", self.network),
            create_builder_config=lambda: self.config(),
            create_optimization_profile=lambda: self.strict(
                "IOptimizationProfile",
                set_shape=self.call("IOptimizationProfile", "set_shape"),
            ),
            build_serialized_network=lambda network, config: self.build(log, config),
            num_DLA_cores=2,
        )

    def network(self, flags: int) -> Strict:
        layers = self.layers
        return self.strict(
            "INetworkDefinition", num_layers=len(layers), get_layer=lambda i: layers[i]
        )

    def layer(self, name: str, dtype: str = "FLOAT", shape_tensor: bool = False) -> Strict:
        kind = self.module.DataType[dtype]
        tensor = self.strict("ITensor", name=name, dtype=kind, is_shape_tensor=shape_tensor)
        return self.strict(
            "ILayer",
            name=name,
            type=SimpleNamespace(name="CONVOLUTION"),
            num_inputs=1,
            get_input=lambda i: tensor,
            num_outputs=1,
            get_output=lambda i: tensor,
            set_output_type=self.call("ILayer", "set_output_type"),
        )

    def parser(self, network: Strict, log: Any) -> Strict:
        refuses = self.fail == "parse"
        error = self.strict("ParserError", desc=lambda: "no importer\nfor Spam")
        return self.strict(
            "OnnxParser",
            parse=self.call("OnnxParser", "parse", not refuses),
            num_errors=int(refuses),
            get_error=lambda i: error,
        )

    def config(self) -> Strict:
        cache = self.strict("ITimingCache", serialize=lambda: b"timed", combine=None, reset=None)
        kind = "IBuilderConfig"
        return self.strict(
            kind,
            set_compute_capability=self.call(kind, "set_compute_capability", True),
            set_memory_pool_limit=self.call(kind, "set_memory_pool_limit"),
            set_flag=self.call(kind, "set_flag"),
            clear_flag=self.call(kind, "clear_flag"),
            add_optimization_profile=self.call(kind, "add_optimization_profile", 0),
            create_timing_cache=self.call(kind, "create_timing_cache", cache),
            set_timing_cache=self.call(kind, "set_timing_cache", True),
            get_timing_cache=lambda: cache,
        )

    def build(self, log: Any, config: Strict) -> Any:
        if self.fail == "build":
            log.log(self.module.ILogger.ERROR, "no kernel\nfits")
            return None
        monitor = config._values.get("progress_monitor")
        if monitor is not None:
            monitor.phase_start("Tactics", None, 2)
            monitor.phase_start("Inner", "Tactics", 1)
            assert monitor.step_complete("Inner", 0) is True  # False cancels the build
            monitor.phase_finish("Inner")
            for step in range(2):
                assert monitor.step_complete("Tactics", step) is True
            monitor.phase_finish("Tactics")
        (sizes,) = self.recorded("IOptimizationProfile", "set_shape")[-1:]
        return json.dumps({"profile": [list(size) for size in sizes[1:]]}).encode()

    # What the runtime does.

    def runtime(self, log: Any) -> Strict:
        return self.strict(
            "Runtime",
            deserialize_cuda_engine=lambda plan: self.engine(log, bytes(plan)),
            num_DLA_cores=2,
        )

    def engine(self, log: Any, plan: bytes) -> Strict | None:
        self.calls.append(("Runtime", "deserialize_cuda_engine", plan))
        if self.fail == "load":
            log.log(self.module.ILogger.INTERNAL_ERROR, "magic tag does not match")
            return None
        profile = [tuple(size) for size in json.loads(plan)["profile"]]
        fixed = profile[0] == profile[2]
        batch = profile[0][0] if fixed else -1
        shapes = {
            "clip": (batch, *profile[0][1:]),
            "fake_probability": (batch,),
            "inconsistency_map": (batch, profile[0][1], 4, 4),
        }
        types = self.module.DataType
        modes = self.module.TensorIOMode
        return self.strict(
            "ICudaEngine",
            num_io_tensors=3,
            get_tensor_name=lambda i: list(shapes)[i],
            get_tensor_mode=lambda n: modes.INPUT if n == "clip" else modes.OUTPUT,
            get_tensor_dtype=lambda n: types.UINT8 if n == "clip" else types.FLOAT,
            get_tensor_shape=lambda n: shapes[n],
            get_tensor_profile_shape=lambda n, i: profile if (n, i) == ("clip", 0) else None,
            create_execution_context=self.call(
                "ICudaEngine", "create_execution_context", lambda *_: self.context(shapes, profile)
            ),
            create_runtime_config=lambda: self.strict("IRuntimeConfig"),
            create_engine_inspector=lambda: self.strict(
                "EngineInspector", get_engine_information=self.information
            ),
        )

    def information(self, form: Any) -> str:
        assert form == self.module.LayerInformationFormat.JSON
        key = "DataType" if self.version.startswith("11.") else "Format/Datatype"
        tensor = {"Name": "x", key: self.layer_type}
        return json.dumps(
            {"Layers": [{"Name": "conv", "LayerType": "CaskConvolution", "Inputs": [tensor]}]}
        )

    def context(self, shapes: dict[str, tuple[int, ...]], profile: list[Any]) -> Strict:
        state: dict[str, Any] = {"batch": None, "address": {}}

        def set_shape(name: str, shape: tuple[int, ...]) -> bool:
            fits = all(a <= b <= c for a, b, c in zip(profile[0], shape, profile[2], strict=True))
            state["batch"] = shape[0] if fits else state["batch"]
            return fits

        def shape_of(name: str) -> tuple[int, ...]:
            assert state["batch"] is not None, "get_tensor_shape before set_input_shape"
            return (state["batch"], *shapes[name][1:])

        def execute(handle: int) -> bool:
            stream = self.cuda.streams[handle]  # KeyError: not a stream, or the default one
            batch = state["batch"]
            stream.push(lambda: self._execute(shapes, batch, state["address"], context))
            return True

        kind = "IExecutionContext"
        context = self.strict(
            kind,
            set_input_shape=self.call(kind, "set_input_shape", set_shape),
            get_tensor_shape=shape_of,
            set_tensor_address=lambda name, address: state["address"].update({name: address}),
            execute_async_v3=execute,
        )
        return context

    def _execute(self, shapes: Any, batch: int, addresses: dict[str, int], context: Strict) -> None:
        def view(name: str, dtype: type) -> np.ndarray:
            shape = (batch, *shapes[name][1:])
            count = int(np.prod(shape))
            size = count * np.dtype(dtype).itemsize
            assert self.cuda.holds(self.cuda.device, addresses[name], size), name
            block = (ctypes.c_uint8 * size).from_address(addresses[name])
            return np.frombuffer(block, dtype, count).reshape(shape)

        outputs = self.compute({"clip": view("clip", np.uint8)})
        for name, value in outputs.items():
            view(name, np.float32)[...] = value
        profiler = context._values.get("profiler")
        if profiler is not None:
            profiler.report_layer_time("conv", 0.25)


class _Module:
    """The module itself."""

    def __init__(self, trt: StrictTensorRT) -> None:
        self.__version__ = trt.version
        made = {name: trt.enum(name) for name in ENUMS if name in trt.names["classes"]}
        made |= {name: type(name, (), {}) for name in TO_SUBCLASS}
        for i, name in enumerate(("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")):
            setattr(made["ILogger"], name, i)
        made |= {"Builder": trt.builder, "OnnxParser": trt.parser, "Runtime": trt.runtime}
        for name, value in made.items():
            if name in trt.names["module"]:
                setattr(self, name, value)

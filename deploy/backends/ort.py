"""ONNX Runtime backend, on the CPU or through one of its accelerators."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deploy.backends.base import Backend, TensorSpec
from deploy.backends.constant_folding import look_at_graph
from deploy.backends.gpu import first_gpu
from keras_ddl.edge.errors import MISSING, USAGE, UserError
from keras_ddl.edge.optional_import import need

RTX = "rtx"
RTX_PLUGIN = "onnxruntime_ep_nv_tensorrt_rtx"
RTX_REMEDY = "pip install -e '.[rtx-onnxruntime]', on Linux x86-64 and Python 3.11 or later"

DTYPES = {
    "tensor(uint8)": np.uint8,
    "tensor(int8)": np.int8,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(float16)": np.float16,
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(bool)": np.bool_,
}
# Input channels that a 1 × 1 convolution of ONNX Runtime's x86 kernels takes in one go. With their
# default, 128, convolutions from 64 channels to 16, as MSA has them, took 2 to 3 times as long.
# Versions that do not know the setting ignore it.
CHANNEL_BATCH = ("mlas.nchwc_pointwise_conv_max_input_channel_batch", "32")
# What a device may fall back on is named too: operators that it lacks run there.
PROVIDERS = {
    "cpu": ("CPUExecutionProvider",),
    "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider"),
    "tensorrt": ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
    RTX: ("NvTensorRTRTXExecutionProvider", "CPUExecutionProvider"),
}
CPU_BATCH = 2  # four clips take four times one, and as much more memory: docs/speed.md
SILENT = 4  # ONNX Runtime's "fatal": its other messages come back as exceptions anyway


class OrtBackend(Backend):
    """A `.onnx` file in an `onnxruntime.InferenceSession`.

    Args:
        path: The model file.
        threads: Threads within one operator; None leaves the choice to the runtime.
        device: "cpu", "cuda" or "tensorrt", which are builds of ONNX Runtime, or "rtx", a plugin
            that NVIDIA makes for any of them.

    Raises:
        UserError: onnxruntime, its build for the device, the plugin or the plugin's GPU is not
            there (3), or it cannot load the file (2); the graph asks for more than a model
            should (4).
    """

    def __init__(self, path: Path, threads: int | None = None, device: str = "cpu") -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"expected threads >= 1, received {threads}")
        if device not in PROVIDERS:
            raise ValueError(f"expected a device of {sorted(PROVIDERS)}, received {device!r}")
        ort = need("onnxruntime", "running a model")
        devices = _rtx_devices(ort) if device == RTX else []
        if device != RTX:
            _require_provider(ort.get_available_providers(), device)
        look_at_graph(path)
        options = ort.SessionOptions()
        options.log_severity_level = SILENT
        options.inter_op_num_threads = 1
        options.add_session_config_entry(*CHANNEL_BATCH)
        if threads is not None:
            options.intra_op_num_threads = threads
        # A plugin is named by its devices, in the options; what is built in, by its provider.
        named = {} if devices else {"providers": list(PROVIDERS[device])}
        try:
            if devices:
                options.add_provider_for_devices(devices[:1], {})
            session = ort.InferenceSession(str(path), options, **named)
        except Exception as error:  # the runtime's own exception classes have no common public base
            reason = str(error).splitlines()[0]
            message = f"expected an ONNX model, cannot load '{path}': {reason}; export it again"
            raise UserError(message, USAGE) from error
        _require_provider(session.get_providers(), device)  # it falls back without a word
        self._session: Any = session
        self.name = f"onnxruntime {ort.__version__} {device}"
        if device == "cpu":
            self.usual_batch = CPU_BATCH
        self.inputs = tuple(_spec(node) for node in session.get_inputs())
        self.outputs = tuple(_spec(node) for node in session.get_outputs())
        self.metadata = dict(session.get_modelmeta().custom_metadata_map)

    def _run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [spec.name for spec in self.outputs]
        return dict(zip(names, self._session.run(names, dict(feed)), strict=True))

    def close(self) -> None:
        """Release the session's memory."""
        self._session = None
        super().close()


def _require_provider(found: list[str], device: str) -> None:
    if PROVIDERS[device][0] not in found:
        remedy = (
            RTX_REMEDY
            if device == RTX
            else "pip install onnxruntime-gpu instead of onnxruntime, or run on the CPU"
        )
        raise UserError(
            f"expected ONNX Runtime with {PROVIDERS[device][0]}, received {', '.join(found)}: "
            f"{remedy}",
            MISSING,
        )


def _rtx_devices(ort: Any) -> list[Any]:
    """The GPUs that NVIDIA's plugin offers to ONNX Runtime; it is registered once a process.

    Raises:
        UserError: no GPU, no plugin, or the plugin does not load or offers none (3).
    """
    first_gpu()  # the plugin's own reason is the file name of a library
    provider = PROVIDERS[RTX][0]
    if not hasattr(ort, "register_execution_provider_library"):
        raise UserError(
            f"--device rtx needs ONNX Runtime 1.24 or later, here is {ort.__version__}: "
            f"{RTX_REMEDY}",
            MISSING,
        )
    known = [device for device in ort.get_ep_devices() if device.ep_name == provider]
    if not known:
        try:
            plugin = importlib.import_module(RTX_PLUGIN)
            ort.register_execution_provider_library(provider, plugin.get_library_path())
        except Exception as error:  # the runtime's own exception classes have no public base
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            message = f"ONNX Runtime's {RTX_PLUGIN} does not load ({reason}): {RTX_REMEDY}"
            raise UserError(message, MISSING) from error
        known = [device for device in ort.get_ep_devices() if device.ep_name == provider]
    if not known:
        raise UserError(
            f"{RTX_PLUGIN} offers no GPU to ONNX Runtime: it is for compute capability 8.0 and "
            "later and a driver of CUDA 13; or run on the CPU",
            MISSING,
        )
    return known


def _spec(node: Any) -> TensorSpec:
    if node.type not in DTYPES:
        raise UserError(f"expected tensors of {sorted(DTYPES)}, '{node.name}' is {node.type}")
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return TensorSpec(node.name, np.dtype(DTYPES[node.type]), shape)

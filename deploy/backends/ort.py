"""ONNX Runtime backend, on the CPU or through one of its accelerators."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from deploy.backends.base import Backend, TensorSpec
from deploy.backends.unfolding import look_at_graph
from keras_ddl.edge.errors import MISSING, USAGE, UserError
from keras_ddl.edge.optional_import import need

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
}
CPU_BATCH = 2  # four clips take four times one, and as much more memory: docs/speed.md
SILENT = 4  # ONNX Runtime's "fatal": its other messages come back as exceptions anyway


class OrtBackend(Backend):
    """A `.onnx` file in an `onnxruntime.InferenceSession`.

    Args:
        path: The model file.
        threads: Threads within one operator; None leaves the choice to the runtime.
        device: "cpu", "cuda" or "tensorrt".

    Raises:
        UserError: onnxruntime, or its build for the device, is not installed (3), or it cannot
            load the file (2); the graph asks for more than a model should (4).
    """

    def __init__(self, path: Path, threads: int | None = None, device: str = "cpu") -> None:
        if threads is not None and threads < 1:
            raise ValueError(f"expected threads >= 1, received {threads}")
        if device not in PROVIDERS:
            raise ValueError(f"expected a device of {sorted(PROVIDERS)}, received {device!r}")
        ort = need("onnxruntime", "running a model")
        _require_provider(ort.get_available_providers(), device)
        look_at_graph(path)
        options = ort.SessionOptions()
        options.log_severity_level = SILENT
        options.inter_op_num_threads = 1
        options.add_session_config_entry(*CHANNEL_BATCH)
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            session = ort.InferenceSession(str(path), options, providers=list(PROVIDERS[device]))
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
        raise UserError(
            f"expected ONNX Runtime with {PROVIDERS[device][0]}, received {', '.join(found)}: "
            "pip install onnxruntime-gpu instead of onnxruntime, or run on the CPU",
            MISSING,
        )


def _spec(node: Any) -> TensorSpec:
    if node.type not in DTYPES:
        raise UserError(f"expected tensors of {sorted(DTYPES)}, '{node.name}' is {node.type}")
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return TensorSpec(node.name, np.dtype(DTYPES[node.type]), shape)

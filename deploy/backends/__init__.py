"""Runtimes that execute an exported model; `open_backend` picks the one that fits the file."""

from __future__ import annotations

from pathlib import Path

from deploy.backends.base import Backend, TensorSpec
from keras_ddl.edge.errors import USAGE, UserError

__all__ = ["Backend", "TensorSpec", "open_backend"]

SUFFIXES = (".onnx", ".engine")


def open_backend(
    path: Path | str,
    threads: int | None = None,
    device: str = "cpu",
    cuda_graph: bool | None = None,
) -> Backend:
    """Open the runtime for a model file.

    Args:
        path: The model; its suffix decides the runtime: `.onnx` ONNX Runtime, `.engine`
            TensorRT or TensorRT-RTX, as its sidecar says.
        threads: Compute threads of ONNX Runtime; None leaves the choice to it.
        device: Where ONNX Runtime computes: "cpu", "cuda", "tensorrt" or "rtx".
        cuda_graph: For an engine: record and replay its work; None: where the batch is fixed.

    Raises:
        UserError: no such file, unknown suffix, runtime not installed, file not a model or an
            engine built for something else.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise UserError(f"expected a model file ({known}), received '{path}'", USAGE)
    if not path.is_file():
        raise UserError(f"expected a model file, found none at '{path}'", USAGE)
    if path.suffix == ".engine":
        from deploy.backends.trt import TrtBackend

        return TrtBackend(path, cuda_graph)
    from deploy.backends.ort import OrtBackend

    return OrtBackend(path, threads, device)

"""Runtimes that execute an exported model; `open_backend` picks the one that fits the file."""

from __future__ import annotations

from pathlib import Path

from deploy.backends.base import Backend, TensorSpec
from keras_ddl.errors import USAGE, UserError

__all__ = ["Backend", "TensorSpec", "open_backend"]

SUFFIXES = (".onnx",)


def open_backend(path: Path | str, threads: int | None = None) -> Backend:
    """Open the runtime for a model file.

    Args:
        path: The model; its suffix decides the runtime (`.onnx`: ONNX Runtime on the CPU).
        threads: Compute threads; None leaves the choice to the runtime.

    Raises:
        UserError: no such file, unknown suffix, runtime not installed, file not a model.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise UserError(f"expected a model file ({known}), received '{path}'", USAGE)
    if not path.is_file():
        raise UserError(f"expected a model file, found none at '{path}'", USAGE)
    from deploy.backends.ort import OrtBackend

    return OrtBackend(path, threads)

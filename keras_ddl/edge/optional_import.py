"""Imports of runtime packages; where one is missing, a line says which extra brings it."""

from __future__ import annotations

import importlib
from typing import Any

from keras_ddl.edge.errors import MISSING, UserError


def need_pyav() -> Any:
    """Import PyAV; a UserError, exit code 3, says what brings it."""
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise UserError(
            f"video files need PyAV: {error}; install the 'edge' extra", MISSING
        ) from error


def need(module: str, purpose: str, extra: str = "edge") -> Any:
    """Import `module`.

    Args:
        module: Import name, e.g. "cv2".
        purpose: What it is for, in the words of the error line.
        extra: Which extra of this project brings it.

    Raises:
        UserError: not importable, missing shared libraries included; exit code 3.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        reason = str(error).splitlines()[0]
        remedy = f"pip install 'keras-ddl[{extra}]'"
        raise UserError(f"{purpose} needs {module} ({reason}): {remedy}", MISSING) from error

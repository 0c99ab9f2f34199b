"""Dynamic Difference Learning: deepfake video detection from training to the edge.

Importing this package never imports TensorFlow; the public names below load on first use (PEP 562).
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# From 1.32 on ONNX Runtime keeps a session of its maker's telemetry in the folder for temporary
# files; nobody is told of what is judged. Read when it is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

_LAZY = {
    "DFDC": "keras_ddl.layers",
    "MSA": "keras_ddl.layers",
    "build_model": "keras_ddl.networks.model",
    "extend": "keras_ddl.networks.extend",
    "from_preset": "keras_ddl.hub.preset",
    "save_to_preset": "keras_ddl.hub.preset",
    "ClipSpec": "keras_ddl.edge.clipspec",
}

__all__ = [
    *("DFDC", "MSA", "ClipSpec", "__version__"),
    *("build_model", "extend", "from_preset", "save_to_preset"),
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(
        f"module 'keras_ddl' has no attribute {name!r}; it has {', '.join(__all__)}"
    )


def __dir__() -> list[str]:
    return sorted(__all__)

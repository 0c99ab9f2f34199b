"""Dynamic Difference Learning: deepfake video detection from training to the edge.

Importing this package never imports TensorFlow; the public names below load on first use (PEP 562).
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Nobody is told what is judged here. ONNX Runtime from 1.29 on reports to its maker the names and
# digests of models unless this is set before it is imported, and the others have reports of their
# own. A value that the user has set stays.
QUIET = {
    "ORT_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
for _name, _value in QUIET.items():
    os.environ.setdefault(_name, _value)

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

"""NVIDIA's two libraries for engines: TensorRT, and TensorRT-RTX, which builds without a GPU."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

from keras_ddl.edge.errors import MISSING, USAGE, UserError

Capability = tuple[int, int]

# What TensorRT-RTX 1.7 can be asked for; there is none for 8.7 (Orin) or 9.0 (H100, H200).
CAPABILITIES: tuple[Capability, ...] = ((7, 5), (8, 0), (8, 6), (8, 9), (12, 0), (12, 1))
# Where an engine runs that was asked for none, and on later ones: NVIDIA's "CPU-Only AOT" guide.
DEFAULT_CAPABILITIES: tuple[Capability, ...] = ((8, 0), (8, 6), (8, 9), (12, 0))


@dataclass(frozen=True)
class Library:
    """A library that builds and runs engines.

    Attributes:
        key: As command lines and sidecars name it.
        name: As NVIDIA calls it.
        module: Its Python module.
        remedy: How to get it.
        portable: Whether it builds without a GPU: an engine is then finished on the GPU that runs
            it, and fits several. Else an engine belongs to the GPU it was built on.
    """

    key: str
    name: str
    module: str
    remedy: str
    portable: bool

    def load(self) -> Any:
        """Import the module.

        The index carries TensorRT's bindings only, so an installed package may still lack its
        libraries: that is an ImportError or an OSError, and "not there" all the same.

        Raises:
            UserError: it cannot be loaded; exit code 3.
        """
        try:
            return importlib.import_module(self.module)
        except (ImportError, OSError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            line = f"{self.name} does not load ({reason}): {self.remedy}"
            raise UserError(line, MISSING) from error

    def version(self) -> str:
        """Version of the library that Python can load; a UserError (3) where there is none."""
        return str(self.load().__version__)


TENSORRT = Library(
    "trt",
    "TensorRT",
    "tensorrt",
    "on a server pip install -e '.[trt]'; on a Jetson JetPack brings it, use an environment made "
    "with --system-site-packages",
    portable=False,
)
TENSORRT_RTX = Library(
    "rtx",
    "TensorRT-RTX",
    "tensorrt_rtx",
    "pip install -e '.[rtx]', on Linux x86-64",
    portable=True,
)
LIBRARIES = {library.key: library for library in (TENSORRT, TENSORRT_RTX)}


def runs_on(asked: tuple[Capability, ...], capability: Capability) -> bool:
    """Whether an engine of TensorRT-RTX is for a GPU.

    Args:
        asked: Compute capabilities that it was built for; empty for the library's own choice.
        capability: Of the GPU.
    """
    if asked:
        return capability in asked
    return capability in DEFAULT_CAPABILITIES or capability > DEFAULT_CAPABILITIES[-1]


def in_words(asked: tuple[Capability, ...]) -> str:
    """Compute capabilities as "8.6, 12.0"; the library's own choice where none was asked for."""
    text = ", ".join(f"{major}.{minor}" for major, minor in asked or DEFAULT_CAPABILITIES)
    return text if asked else f"{text} and later"


def capabilities_from(text: str) -> tuple[Capability, ...]:
    """Read a list such as "8.6,12.0", in rising order and each once.

    Raises:
        UserError: not such a list, or TensorRT-RTX has no such target (2).
    """
    known = {f"{major}.{minor}": (major, minor) for major, minor in CAPABILITIES}
    words = [word.strip() for word in text.split(",")]
    if strange := [word for word in words if word not in known]:
        raise UserError(
            f"expected compute capabilities of {', '.join(known)}, separated by commas, received "
            f"{strange[0]!r}: nvidia-smi --query-gpu=compute_cap --format=csv names a GPU's",
            USAGE,
        )
    return tuple(sorted({known[word] for word in words}))

"""Frame networks, one file each: ``build(size, weights=None, width=1.0) -> Backbone``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from keras_ddl.networks.backbones.backbone import Backbone

DEFAULT_SIZES = {"compact_xception": 256, "xception": 299, "resnet18": 224}

__all__ = ["DEFAULT_SIZES", "Backbone", "get"]


def get(name: str) -> Callable[..., Backbone]:
    """The `build` function of a backbone; ValueError lists the known ones."""
    if name not in DEFAULT_SIZES:
        raise ValueError(f"backbone must be one of {', '.join(DEFAULT_SIZES)}; got {name!r}")
    return import_module(f"keras_ddl.networks.backbones.{name}").build

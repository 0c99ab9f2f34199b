"""Frame networks: ``build(size, weights=None, width=1.0) -> Backbone``, and Keras' applications."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from keras_ddl.networks.backbones.backbone import Backbone

LITE = "efficientnet_lite"
OTHER_SIZE = 224  # of Keras' applications
DEFAULT_SIZES = {
    "compact_xception": 256,
    "xception": 299,
    "resnet18": 224,
    f"{LITE}0": 224,
    f"{LITE}1": 240,
    f"{LITE}2": 260,
}

__all__ = ["DEFAULT_SIZES", "Backbone", "get"]


def get(name: str) -> Callable[..., Backbone]:
    """The `build` function of a backbone or an application; ValueError lists the known ones."""
    folder = "keras_ddl.networks.backbones"
    if name not in DEFAULT_SIZES:
        applications = import_module(f"{folder}.applications")
        if name in applications.SIZES:
            return partial(applications.application, name)
        known = ", ".join((*DEFAULT_SIZES, *applications.SIZES))
        raise ValueError(f"backbone must be one of {known}; got {name!r}")
    if name.startswith(LITE):
        version = int(name.removeprefix(LITE))
        return partial(import_module(f"{folder}.{LITE}").build, version=version)
    build: Callable[..., Backbone] = import_module(f"{folder}.{name}").build
    return build

"""The paper's comparison methods, which share data, training, metrics, export and parity.

One file each, of one shape: `METHOD`, a `Method`, and ``build(size, frames, weights=None,
width=1.0)``, which gives a functional model from raw uint8 clips ``(batch, frames, size, size, 3)``
to two float32 logits ``(batch, 2)``, class 1 = fake. `size` is the side of the crops in pixels,
`frames` their number per clip, `width` a factor on channel counts, for reduced networks that start
from nothing. The smallest size and the weights that a method takes its `build` says: None, and
where a backbone of `keras.applications` is in it, `imagenet` or a file of that backbone's weights.
Other sizes and weights, and weights with a width other than 1, are a ValueError; weights that
cannot be had are a UserError.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

NAMES = (
    "shallownet",
    "meso4",
    "mesoinception4",
    "xception",
    "f3net",
    "multi_attentional",
    "gff",
    "cnn_lstm",
    "dbirnn",
    "clrnet",
    "convlstm",
    "dil",
    "resnet18",
)
"""In the order of the paper's table; names of files here, networks of a `TrainConfig`, presets."""

__all__ = ["NAMES", "get"]


def get(name: str) -> Any:
    """Return the module of a method; ValueError lists the known ones."""
    if name not in NAMES:
        raise ValueError(f"method must be one of {', '.join(NAMES)}; got {name!r}")
    return import_module(f"keras_ddl.networks.zoo.{name}")

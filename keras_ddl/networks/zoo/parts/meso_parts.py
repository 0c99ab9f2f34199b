"""Parts that Meso4 and MesoInception4 share: their training, the network around two stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from keras_ddl.edge.errors import UserError
from keras_ddl.framework import keras
from keras_ddl.networks.backbones.backbone import require_size
from keras_ddl.networks.zoo.parts.frame_network import clip_frames, mean_of_frames

SOURCE = "Afchar et al. 2018; the steady rate is ours"
TRAINING = {"size": 256, "batch": 9, "learning_rate": 1e-3, "halve_every": 0}
Stage = Callable[[Any, str], Any]
Stored = list[tuple[str, list[tuple[int, ...]]]]  # layer, shapes of its weights


def meso_channels(channels: int, width: float) -> int:
    """Channels times width; the networks are too narrow for multiples of 8."""
    return max(1, round(channels * width))


def convolution(channels: int, kernel: int, width: float, dilation: int = 1) -> Stage:
    """A convolution that keeps the size, with ReLU."""

    def stage(x: Any, name: str) -> Any:
        return keras.layers.Conv2D(
            meso_channels(channels, width),
            kernel,
            padding="same",
            dilation_rate=dilation,
            activation="relu",
            name=name,
        )(x)

    return stage


def meso_network(
    name: str,
    first: Sequence[Stage],
    size: int,
    frames: int,
    weights: str | None,
    width: float,
) -> Any:
    """Two stages of the network's own and two they share, each with batch norm and pooling, and
    the head.

    The head is the original's: one number z, of which P(real) is the sigmoid. Halves of z and −z
    are the two logits, whose softmax is just that, so that the authors' weights mean what they
    meant.

    Args:
        name: Of the network.
        first: Its two first stages.
        size, frames, weights, width: Of its `build`.
    """
    require_size(name, size)  # which pooling makes 1
    clip, x = clip_frames(size, frames)
    shared = [convolution(16, 5, width)] * 2
    for number, (stage, pool) in enumerate(zip([*first, *shared], (2, 2, 2, 4), strict=True), 1):
        x = stage(x, f"conv{number}")
        x = keras.layers.BatchNormalization(name=f"conv{number}_bn")(x)
        x = keras.layers.MaxPooling2D(pool, padding="same", name=f"conv{number}_pool")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dropout(0.5, name="flatten_dropout")(x)
    x = keras.layers.Dense(meso_channels(16, width), name="dense")(x)
    x = keras.layers.LeakyReLU(0.1, name="dense_relu")(x)
    x = keras.layers.Dropout(0.5, name="dense_dropout")(x)
    z = keras.layers.Dense(1, dtype="float32", name="real_margin")(x)
    halves = [
        keras.layers.Rescaling(sign / 2, dtype="float32", name=f"{kind}_logit")(z)
        for kind, sign in (("real", 1), ("fake", -1))
    ]
    x = keras.layers.Concatenate(dtype="float32", name="frame_logits")(halves)
    model = mean_of_frames(name, clip, x, frames)
    if weights:
        load_official(model, Path(weights))
    return model


def load_official(model: Any, path: Path) -> None:
    """Fill a network from a file of Keras 2.1 weights: layer by layer in the file's order.

    Nothing in the file is run, and an array is read only after its shape has been found right.

    Args:
        model: Of `meso_network`.
        path: HDF5, with `layer_names` and, per layer, `weight_names` as attributes, as the authors'
            files and `Model.save_weights` have them. A complete model is refused: what its layers
            do is not read, so that weights of the same shapes might mean something else.

    Raises:
        ValueError: the weights are not this network's; the first difference is named.
        UserError: no such file, none of Keras weights, or a complete model.
    """
    import h5py

    if not path.is_file():
        raise UserError(f"no weights file {path}; expected one of MesoNet's .h5 files")
    layers = [layer for layer in model.layers if layer.weights]
    expected = [(layer.name, [tuple(w.shape) for w in layer.weights]) for layer in layers]
    try:
        with h5py.File(path, "r") as file:
            _refuse_whole_model(path, file)
            stored = _stored(file)
            found = [(name, [tuple(data.shape) for data in arrays]) for name, arrays in stored]
            _require_same(model, path, expected, found)
            values = [[np.asarray(data, np.float32) for data in arrays] for _, arrays in stored]
    except (OSError, KeyError, AttributeError, TypeError, UnicodeDecodeError) as error:
        # OSError: not HDF5, or cut short; the others: HDF5 of something else
        cause = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"{path} is no file of Keras weights ({cause}); expected one of MesoNet's .h5 files"
        ) from error
    if not all(np.isfinite(array).all() for arrays in values for array in arrays):
        raise UserError(f"{path} holds weights that are not finite; fetch it again")
    for layer, arrays in zip(layers, values, strict=True):
        layer.set_weights(arrays)


def _refuse_whole_model(path: Path, file: Any) -> None:
    if "model_weights" in file or "model_config" in file.attrs:
        raise UserError(
            f"{path}: expected weights alone, such as MesoNet's .h5 files, received a complete "
            "Keras model, whose layers are not read; save its weights with model.save_weights"
        )


def _stored(root: Any) -> list[tuple[str, list[Any]]]:
    """The layers of the file that have weights, and their data sets, not yet read."""
    layers = []
    for name in (_text(name) for name in root.attrs["layer_names"]):
        group = root[name]
        names = [_text(weight) for weight in group.attrs["weight_names"]]
        if names:
            layers.append((name, [group[weight] for weight in names]))
    return layers


def _text(name: Any) -> str:
    return name.decode("utf-8") if isinstance(name, bytes) else str(name)


def _require_same(model: Any, path: Path, expected: Stored, found: Stored) -> None:
    for number, (ours, theirs) in enumerate(zip_longest(expected, found), 1):
        if ours is None or theirs is None or ours[1] != theirs[1]:
            wanted, got = (
                "no more layers" if one is None else f"{one[0]} {_sizes(one[1])}"
                for one in (ours, theirs)
            )
            raise ValueError(
                f"{path} does not fit {model.name} at {model.input_shape[2]} px: "
                f"layer {number} with weights: expected {wanted}, received {got}"
            )


def _sizes(shapes: list[tuple[int, ...]]) -> str:
    return ", ".join("×".join(map(str, shape)) for shape in shapes)

"""What the modules are measured against computes what they compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from benchmarks.networks.naive.naive_keras import NaiveDFDC, NaiveMSA, naive
from keras_ddl.layers import DFDC, MSA
from keras_ddl.networks.model import build_model

SHAPE = (16, 6, 10, 16)  # two clips of eight frames


def answers(layer: Any, x: np.ndarray, training: bool) -> list[Any]:
    """Output, and the gradients of input and weights under a fixed cotangent."""
    inputs = tf.constant(x)
    options = {"training": training} if isinstance(layer, MSA) else {}
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = layer(inputs, **options)
        total = tf.reduce_sum(
            y * tf.constant(np.random.default_rng(1).normal(size=x.shape), y.dtype)
        )
    return [y, *tape.gradient(total, [inputs, *layer.trainable_weights])]


@pytest.mark.parametrize(
    ("kind", "slow", "arguments", "training"),
    [
        (DFDC, NaiveDFDC, {}, False),
        (DFDC, NaiveDFDC, {"keep": 3, "frames": 4}, False),
        (DFDC, NaiveDFDC, {"keep": 60}, False),  # all positions
        (MSA, NaiveMSA, {}, False),
        (MSA, NaiveMSA, {"frames": 16}, False),
        (MSA, NaiveMSA, {}, True),  # statistics of the batch
    ],
)
def test_outputs_and_gradients_are_the_layers(
    kind: Any,
    slow: Any,
    arguments: dict[str, int],
    training: bool,
    randomise: Callable[..., None],
    near: Callable[..., None],
) -> None:
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    layers = [one(name="layer", **arguments) for one in (kind, slow)]
    for layer in layers:
        layer.build(SHAPE)
        randomise(layer)
    ours, theirs = (answers(layer, x, training) for layer in layers)
    names = ["output", "input", *(weight.name for weight in layers[0].trainable_weights)]
    for name, got, want in zip(names, theirs, ours, strict=True):
        near(got, want, 1e-4, name)
    assert np.abs(ours[0] - x).max() > 0.1, "the layer does something"


@pytest.mark.slow
def test_the_network_is_the_same(randomise: Callable[..., None], near: Callable[..., None]) -> None:
    model = build_model("compact_xception", frames=4, size=32, width=0.25)
    randomise(model)
    slow = naive(model)
    kinds = [type(layer).__name__ for layer in slow.layers]
    assert kinds.count("NaiveDFDC") == kinds.count("NaiveMSA") == 7
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3), np.uint8)
    near(slow(clips), model(clips), 1e-3)

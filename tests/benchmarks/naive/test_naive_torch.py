"""The naive PyTorch modules compute what the layers compute; skips without PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
torch = pytest.importorskip("torch")

from benchmarks.networks.naive.naive_torch import torch_from_keras
from keras_ddl.layers import DFDC, MSA

SHAPE = (16, 6, 10, 16)


@pytest.mark.parametrize(
    ("kind", "arguments", "training"),
    [
        (DFDC, {}, False),
        (DFDC, {"keep": 3, "frames": 4}, False),
        (MSA, {}, False),
        (MSA, {"frames": 16}, False),
        (MSA, {}, True),
    ],
)
def test_outputs_and_gradients_are_the_layers(
    kind: Any,
    arguments: dict[str, int],
    training: bool,
    randomise: Callable[..., None],
    near: Callable[..., None],
) -> None:
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    cotangent = np.random.default_rng(1).normal(size=SHAPE).astype(np.float32)
    layer = kind(**arguments)
    layer.build(SHAPE)
    randomise(layer)
    module = torch_from_keras(layer).train(training)
    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = layer(inputs, training=training) if kind is MSA else layer(inputs)
        total = tf.reduce_sum(y * cotangent)
    ours = [y, *tape.gradient(total, [inputs, layer.gamma])]
    there = torch.from_numpy(x.transpose(0, 3, 1, 2).copy()).requires_grad_()
    z = module(there)
    (z * torch.from_numpy(cotangent.transpose(0, 3, 1, 2).copy())).sum().backward()
    theirs = [z.detach().permute(0, 2, 3, 1), there.grad.permute(0, 2, 3, 1), module.gamma.grad]
    for name, got, want in zip(("output", "input", "gamma"), theirs, ours, strict=True):
        near(got, want, 1e-4, name)

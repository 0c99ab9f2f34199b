"""ShallowNet against NumPy and against counting."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

sys.path.insert(0, str(Path(__file__).resolve().parent))

from naive_convolutions import batch_norm, convolve, max_pool, relu, softmax

from keras_ddl.config import load
from keras_ddl.edge.errors import UserError
from keras_ddl.networks.cost import parameters
from keras_ddl.networks.zoo import shallownet
from keras_ddl.training.fit import fit
from keras_ddl.training.options import TrainingOptions


def test_it_computes_what_the_paper_says(
    randomise: Callable[..., None], near: Callable[..., None]
) -> None:
    model = shallownet.build(32, 4, width=0.25)
    randomise(model)
    clip = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), np.uint8)

    def weights(name: str) -> list[np.ndarray]:
        return model.get_layer(name).get_weights()

    frames = []
    for image in clip:
        x = image / 255
        for block, parts in ((1, 3), (2, 3), (3, 2)):
            for part in range(1, parts + 1):
                x = relu(convolve(x, *weights(f"block{block}_conv{part}"), same=False))
            x = max_pool(x, 2) if block < 3 else x
        assert x.shape == (4, 4, 8)  # 32 − 4 = 28, 14, − 2 = 12, 6, − 2 = 4
        kernel, bias = weights("dense")
        x = batch_norm(relu(x.ravel() @ kernel + bias), *weights("dense_bn"))
        kernel, bias = weights("frame_logits")
        frames.append(softmax(x @ kernel + bias))
    expected = np.mean(frames, 0)
    assert 0.01 < expected[1] < 0.99 and np.ptp(frames, 0)[1] > 1e-3
    near(softmax(model(clip[None]).numpy()[0]), expected, 1e-5)


def test_it_has_the_parameters_of_its_layers_at_128_pixels() -> None:
    model = shallownet.build()
    kernels = [5 * 5 * 3 * 32, 32 * 32, 32 * 32, 9 * 32 * 64, 64 * 64, 64 * 64, 9 * 64 * 128]
    kernels += [128 * 32, 28 * 28 * 32 * 1024, 1024 * 2]  # 128 → 124, 62, 60, 30, 28
    biases = [32, 32, 32, 64, 64, 64, 128, 32, 1024, 2]
    assert parameters(model) == sum(kernels) + sum(biases) + 2 * 1024
    assert model.count_params() - parameters(model) == 2 * 1024


def test_what_it_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="no trained weights; got 'imagenet'"):
        shallownet.build(32, 4, "imagenet")
    with pytest.raises(ValueError, match="at least 32; got 16"):
        shallownet.build(16)


def test_a_network_without_a_backbone_trains_but_cannot_rest(
    flicker_set: Path, tmp_path: Path
) -> None:
    small = ["size=32", "frames=4", "width=0.125", "batch=16"]
    quiet = TrainingOptions(progress=False)
    fitted = fit(
        load("shallownet", overrides=[*small, "epochs=1"]), flicker_set, tmp_path / "w.h5", quiet
    )
    assert fitted.best_epoch == 1 and all(layer.trainable for layer in fitted.model.layers)
    resting = load("shallownet", overrides=[*small, "epochs=2", "frozen_epochs=1"])
    with pytest.raises(UserError, match="expected a network with a backbone"):
        fit(resting, flicker_set, tmp_path / "w.h5", quiet)

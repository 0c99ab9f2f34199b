"""ConvLSTM against Keras' own layer on its backbone's features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.framework import keras
from keras_ddl.layers import CUSTOM_OBJECTS
from keras_ddl.networks.backbones import resnet18
from keras_ddl.networks.cost import macs
from keras_ddl.networks.zoo import convlstm
from keras_ddl.training.batch_norm import backbone_layers

FRAMES, SIZE = 4, 64


@pytest.fixture(scope="module")
def model(randomise: Any) -> Any:
    made = convlstm.build(SIZE, FRAMES, width=0.125)
    randomise(made)
    return made


def clips(count: int = 2) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, FRAMES, SIZE, SIZE, 3), np.uint8)


def test_it_is_keras_own_layer_on_the_backbone(model: Any, near: Any) -> None:
    cnn = resnet18.build(SIZE, width=0.125).cnn
    for layer in cnn.layers[1:]:
        layer.set_weights(model.get_layer(layer.name).get_weights())
    raw = clips().reshape(-1, SIZE, SIZE, 3)
    features = cnn(raw / np.float32(58) - 2, training=False)  # (B·T, 2, 2, 64)
    own = keras.layers.ConvLSTM2D(32, 3, padding="same")  # gives its last state
    own.build((None, FRAMES, 2, 2, 64))
    own.set_weights(model.get_layer("features").get_weights())
    state = own(tf.reshape(features, (-1, FRAMES, 2, 2, 64))).numpy()
    kernel, bias = model.get_layer("logits").get_weights()
    want = state.mean((1, 2), np.float64) @ kernel + bias
    near(model(clips(), training=False), want, 1e-5)
    assert np.ptp(want, axis=0).min() > 1e-4


def test_the_first_frame_still_counts_after_the_last(model: Any) -> None:
    changed = clips()
    changed[0, 0] = 255 - changed[0, 0]
    moved = np.abs(model(changed) - model(clips())).max(1)
    assert moved[0] > 1e-5 and moved[1] == 0


def test_what_rests_in_frozen_epochs_is_the_backbone(model: Any) -> None:
    resting = {layer.name for layer in backbone_layers(model) if layer.weights}
    assert resting == {layer.name for layer in resnet18.build(SIZE).cnn.layers if layer.weights}


def test_the_head_works_once_per_clip(model: Any) -> None:
    counted = macs(model)
    positions = 2 * 2
    assert counted["features"] == positions * 9 * 4 * 32 * (FRAMES * 64 + (FRAMES - 1) * 32)
    assert counted["logits"] == 32 * 2


def test_it_survives_its_configuration_and_a_file(model: Any, tmp_path: Path) -> None:
    model.save_weights(str(tmp_path / "weights.h5"))
    again = keras.Model.from_config(model.get_config(), CUSTOM_OBJECTS)
    again.load_weights(str(tmp_path / "weights.h5"))
    np.testing.assert_array_equal(again(clips()), model(clips()))

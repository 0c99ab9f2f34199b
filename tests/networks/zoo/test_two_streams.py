"""What F3-Net and GFF share: Xception in blocks, and attention between two of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

sys.path.insert(0, str(Path(__file__).resolve().parent))

from naive_convolutions import softmax

from keras_ddl.framework import keras
from keras_ddl.layers import CUSTOM_OBJECTS
from keras_ddl.networks import zoo
from keras_ddl.networks.backbones.applications import slimmed
from keras_ddl.networks.zoo.parts.cross_attention import CrossAttention
from keras_ddl.networks.zoo.parts.xception_blocks import XceptionBlocks, start_streams


def xception(width: float, randomise: Callable[..., None]) -> keras.Model:
    made = keras.applications.Xception(include_top=False, weights=None, input_shape=(71, 71, 3))
    cnn = slimmed(made, width) if width != 1 else made
    randomise(cnn)
    return cnn


def in_blocks(width: float, channels: int = 3) -> tuple[keras.Model, XceptionBlocks]:
    blocks = XceptionBlocks("left_", width)
    image = keras.Input((71, 71, channels))
    x = blocks.convolution(blocks.convolution(image, 1), 2)
    x = blocks.blocks(blocks.blocks(x, 2, 7), 8, 14)
    return keras.Model(image, x), blocks


def pictures(channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (2, 71, 71, channels)).astype(np.float32)


@pytest.mark.slow  # the next one is the same, reduced, and with more channels in
def test_the_blocks_are_kerass_xception(
    randomise: Callable[..., None], near: Callable[..., None]
) -> None:
    cnn = xception(1, randomise)
    model, blocks = in_blocks(1)
    assert model.count_params() == cnn.count_params()
    assert all(layer.name.startswith("left_") for layer in model.layers[1:])
    blocks.take_over(model, cnn)
    expected = cnn(pictures(), training=False).numpy()
    assert expected.std() > 1e-2
    near(model(pictures(), training=False), expected, 1e-5)


def test_repeated_kernels_give_for_equal_images_what_one_gave(
    randomise: Callable[..., None], near: Callable[..., None]
) -> None:
    cnn = xception(0.125, randomise)
    model, blocks = in_blocks(0.125, channels=12)
    blocks.take_over(model, cnn)
    four = np.tile(pictures(), (1, 1, 1, 4))
    near(model(four, training=False), cnn(pictures(), training=False), 1e-5)


@pytest.mark.slow
def test_a_file_of_xceptions_weights_starts_both_streams(
    randomise: Callable[..., None], tmp_path: Path
) -> None:
    cnn = xception(1, randomise)
    cnn.save_weights(str(tmp_path / "xception.h5"))
    model = zoo.get("gff").build(32, 4, str(tmp_path / "xception.h5"))
    for prefix in ("rgb_", "srm_"):
        for name in ("block1_conv1", "block9_sepconv2_bn", "block14_sepconv2"):
            for got, expected in zip(
                model.get_layer(prefix + name).get_weights(),
                cnn.get_layer(name).get_weights(),
                strict=True,
            ):
                np.testing.assert_array_equal(got, expected)
    model = zoo.get("f3net").build(32, 4, str(tmp_path / "xception.h5"))
    kernel = cnn.get_layer("block1_conv1").get_weights()[0]
    for prefix, times in (("fad_", 4), ("lfs_", 2)):
        (got,) = model.get_layer(f"{prefix}block1_conv1").get_weights()
        assert got.shape == (3, 3, 3 * times, 32)
        np.testing.assert_array_equal(got[:, :, 3:6], kernel / times)
        np.testing.assert_allclose(got.reshape(3, 3, times, 3, 32).sum(2), kernel, 1e-6)


def test_weights_need_the_full_width() -> None:
    with pytest.raises(ValueError, match="are for width 1"):
        start_streams(None, [XceptionBlocks(width=0.5)], "imagenet")
    start_streams(None, [XceptionBlocks(width=0.5)], None)  # nothing to take over


@pytest.fixture
def attention(randomise: Callable[..., None]) -> CrossAttention:
    keras.backend.clear_session()
    layer = CrossAttention(4)
    layer.build([(None, 3, 5, 8)] * 2)
    randomise(layer)
    return layer


def streams() -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.standard_normal((2, 3, 5, 8)).astype(np.float32) for _ in "xy"]


def named(layer: Any) -> dict[str, np.ndarray]:
    return {weight.name.split("/")[-1].split(":")[0]: weight.numpy() for weight in layer.weights}


def test_attention_by_loops(attention: CrossAttention, near: Callable[..., None]) -> None:
    x, y = streams()
    w = named(attention)
    expected_x, expected_y = x.astype(float), y.astype(float)
    places = [(row, column) for row in range(3) for column in range(5)]
    for n in range(2):
        for into, own, other, a, b in ((expected_x, x, y, "x", "y"), (expected_y, y, x, "y", "x")):
            for place in places:
                key = own[n][place] @ w[f"key_{a}"]
                alike = [key @ (other[n][p] @ w[f"key_{b}"]) / np.sqrt(2) for p in places]
                taken = softmax(np.array(alike)) @ np.stack([other[n][p] for p in places])
                into[n][place] += w[f"gamma_{a}"] * (taken @ w[f"value_{b}"])
    for got, expected in zip(attention([x, y]), (expected_x, expected_y), strict=True):
        near(got, expected, 1e-5)


def test_attention_keeps_its_properties(
    attention: CrossAttention, near: Callable[..., None]
) -> None:
    x, y = streams()
    # where the other stream has something does not matter to what is taken of it, but moves it
    before, _ = attention([x, y])
    after, moved = attention([x, y[:, ::-1]])
    near(after, before, 1e-5)
    near(moved[:, ::-1], attention([x, y])[1], 1e-5)
    for gamma in attention.gammas:
        gamma.assign([0.0])
    for got, given in zip(attention([x, y]), (x, y), strict=True):
        np.testing.assert_array_equal(got, given)
    again = CrossAttention.from_config(attention.get_config())
    assert again.reduction == 4
    # keys 8 × 2 and values 8 × 8 of both; 15 pairs each: 2 for the energy, 8 taken by either
    assert attention.macs() == 15 * (2 * (16 + 64) + 15 * (2 + 8 + 8))
    with pytest.raises(ValueError, match="two streams of one shape"):
        CrossAttention().build([(None, 3, 5, 8), (None, 3, 4, 8)])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["f3net", "gff"])
def test_a_network_survives_its_configuration_and_a_file(
    name: str, randomise: Callable[..., None], tmp_path: Path
) -> None:
    model = zoo.get(name).build(45, 4, width=0.125)
    randomise(model)
    model.save_weights(str(tmp_path / "weights.h5"))
    again = keras.Model.from_config(model.get_config(), CUSTOM_OBJECTS)
    again.load_weights(str(tmp_path / "weights.h5"))
    clip = np.random.default_rng(0).integers(0, 256, (1, 4, 45, 45, 3), np.uint8)
    np.testing.assert_array_equal(again(clip), model(clip))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["f3net", "gff"])
def test_half_precision_says_about_the_same(name: str, randomise: Callable[..., None]) -> None:
    clip = np.random.default_rng(0).integers(0, 256, (1, 4, 64, 64, 3), np.uint8)
    said = []
    before = keras.mixed_precision.global_policy()
    try:
        for policy in ("float32", "mixed_float16"):
            keras.backend.clear_session()
            keras.mixed_precision.set_global_policy(policy)
            model = zoo.get(name).build(64, 4, width=0.125)
            randomise(model)
            assert model.output.dtype == tf.float32
            said.append(softmax(model(clip).numpy()))
    finally:
        keras.mixed_precision.set_global_policy(before)
    np.testing.assert_allclose(said[1], said[0], atol=0.05)

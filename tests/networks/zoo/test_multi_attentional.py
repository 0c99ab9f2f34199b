"""The parts of multi-attentional detection against loops in NumPy, and by what defines them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.framework import keras
from keras_ddl.layers import CUSTOM_OBJECTS, ClipToFrames, FramesMean
from keras_ddl.networks.zoo import multi_attentional
from keras_ddl.networks.zoo.parts.attention_modules import (
    AttentionMaps,
    AttentionMean,
    AttentionPooling,
    TextureEnhancement,
    resized,
)

M, C = 3, 5


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> np.ndarray:
    return np.exp(noise(*shape, seed=7))


def test_pooling_is_the_sum_over_positions_of_unit_length(near: Any) -> None:
    maps, shared, own = positive(2, 4, 3, M), noise(2, 4, 3, C), noise(2, M, 4, 3, C)
    for features in (shared, own):
        want = np.zeros((2, M, C))
        for n, m, y, x in np.ndindex(2, M, 4, 3):
            picture = features[n, m] if features.ndim == 5 else features[n]
            want[n, m] += float(maps[n, y, x, m]) * picture[y, x]
        want /= np.sqrt((want**2).sum(-1, keepdims=True))
        got = AttentionPooling()([features, maps]).numpy()
        near(got, want, 1e-6)
        np.testing.assert_allclose(np.linalg.norm(got, axis=-1), 1, 0, 1e-6)
        near(AttentionPooling()([features, 3 * maps]), want, 1e-6, "no matter how strong a map is")


def test_pooling_resizes_the_maps_and_keeps_float16_finite(near: Any) -> None:
    even = np.full((1, 2, 2, 1), 0.5, np.float32)
    features = noise(1, 8, 8, C)
    mean = features.mean((1, 2))
    got = AttentionPooling()([features, even])[:, 0]
    near(got, mean / np.linalg.norm(mean), 1e-5)
    half = AttentionPooling(dtype="mixed_float16")([100 * features, even])
    assert half.dtype == tf.float16
    near(half[:, 0], got, 2e-3)


def test_the_mean_is_weighed_by_all_maps_together(near: Any) -> None:
    features, maps = noise(2, 4, 3, C), positive(2, 4, 3, M)
    weights = maps.sum(-1, keepdims=True)
    want = (weights * features).sum((1, 2)) / weights.sum((1, 2))
    near(AttentionMean()([features, maps]), want, 1e-6)
    plain = keras.layers.GlobalAveragePooling2D()(features)
    near(AttentionMean()([features, np.ones_like(maps)]), plain, 1e-6)


def test_maps_are_elu_plus_1_and_above_0(randomise: Callable[..., None], near: Any) -> None:
    layer, x = AttentionMaps(M), noise(2, 5, 4, C)
    layer.build((None, 5, 4, C))
    randomise(layer)
    steps = (layer.extract, layer.extract_bn, keras.layers.ReLU(), layer.score, layer.score_bn)
    want = x
    for step in (*steps, keras.layers.ELU()):
        want = step(want)
    got = layer(x).numpy()
    near(got, want + 1, 1e-6)
    assert got.min() < 1 < got.max() and got.min() > 0
    layer.score_bn.beta.assign([-60.0] * M)
    assert layer(x).numpy().min() > 0, "where ELU itself would round to −1"


@pytest.mark.parametrize("side", [16, 15, 14, 13])  # windows that overhang by 0, 1, 2 and 3
def test_texture_is_what_exceeds_the_local_mean(side: int, near: Any) -> None:
    layer, x = TextureEnhancement(4), noise(2, side, 16, C)
    want, first = x.astype(np.float64), -((-side % 4) // 2)
    for top in range(first, side, 4):
        for left in range(0, 16, 4):
            window = want[:, max(top, 0) : top + 4, left : left + 4]
            window -= window.mean((1, 2), keepdims=True)
    near(layer.enhanced(x), want, 1e-6)
    even = np.full((2, side, 16, C), 0.75, np.float32)
    np.testing.assert_allclose(layer.enhanced(even), 0 * even, 0, 1e-7)


@pytest.fixture
def texture(randomise: Callable[..., None]) -> Any:
    layer = TextureEnhancement(4)
    layer.build([(None, 8, 8, C), (None, 2, 2, M)])
    randomise(layer)
    return layer


def test_each_map_has_a_dense_block_of_its_own(texture: Any, near: Any) -> None:
    x, maps = noise(2, 8, 8, C), positive(2, 8, 8, M)  # as fine as the features: not resized
    got = texture([x, maps])
    assert got.shape == (2, M, 8, 8, C)
    relu, together = keras.layers.ReLU(), keras.layers.Concatenate()
    for m in range(M):
        start = f"map{m}_"
        named = {
            layer.name.removeprefix(start): layer
            for layer in texture.submodules
            if layer.name.startswith(start)
        }
        seen = texture.enhanced(x).numpy() * np.tanh(maps[..., m : m + 1])
        grown = [named["conv0"](seen)]
        for step in (1, 2, 3):
            there = together(grown) if step > 1 else grown[0]
            grown.append(named[f"conv{step}"](relu(named[f"bn{step}"](there))))
        merged = named["merge"](relu(named["merge_bn"](together(grown))))
        near(got[:, m], relu(named["bn"](merged)), 1e-5)


def test_a_map_does_not_learn_what_its_block_sees(texture: Any) -> None:
    x, maps = noise(1, 8, 8, C), tf.Variable(positive(1, 2, 2, M))
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(texture([x, maps]))
    assert tape.gradient(value, maps) is None


def test_operations_by_hand(texture: Any) -> None:
    features, maps = keras.Input((8, 8, C)), keras.Input((2, 2, M))
    blocks = texture([features, maps])
    # 5×5, then 3×3 from one, two and three times C, then 1×1 from four times, all to C
    assert texture.macs() == M * 64 * C * C * (25 + 9 + 18 + 27 + 4)
    pooling, mean, attention = AttentionPooling(), AttentionMean(), AttentionMaps(M)
    pooling([blocks, maps]), mean([features, maps]), attention(features)
    assert pooling.macs() == M * 64 * C
    assert mean.macs() == 64 * C
    assert attention.macs() == 64 * (9 * C * C + C * M)


def small_net() -> Any:
    """A clip through three small depths of features and the head."""
    layers = keras.layers
    clip = keras.Input((4, 31, 32, 3), dtype="uint8", name="clip")
    x = ClipToFrames(1 / 127.5, -1, name="clip_to_frames")(clip)
    texture = layers.Conv2D(8, 3, 2, "same", name="shallow")(x)
    attention = layers.Conv2D(8, 3, 4, "same", name="middle")(texture)
    last = layers.Conv2D(12, 3, 2, "same", name="deep")(attention)
    x = multi_attentional.attentive_head(texture, attention, last, 0.0625)
    x = layers.Dense(2, dtype="float32", name="frame_logits")(x)
    return keras.Model(clip, FramesMean(4, dtype="float32", name="logits")(x))


def test_the_head_survives_config_and_file_learns_and_exports(
    tmp_path: Path, randomise: Callable[..., None]
) -> None:
    pytest.importorskip("tf2onnx")
    ort = pytest.importorskip("onnxruntime")
    from export.to_onnx import onnx_from_keras
    from keras_ddl.training.batch_norm import backbone_layers

    first = small_net()
    randomise(first)
    names = [layer.name for layer in backbone_layers(first) if layer.weights]
    assert names == ["shallow", "middle", "deep"], "what rests while the head learns"
    first.save_weights(tmp_path / "weights.h5")
    again = keras.Model.from_config(first.get_config(), CUSTOM_OBJECTS)
    again.load_weights(tmp_path / "weights.h5")
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 31, 32, 3), np.uint8)
    logits = first(clips).numpy()
    np.testing.assert_array_equal(again(clips), logits)

    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(first(clips, training=True)[:, 1])
    gradients = tape.gradient(loss, first.trainable_variables)
    for variable, gradient in zip(first.trainable_variables, gradients, strict=True):
        assert gradient is not None and np.abs(gradient).max() > 0, variable.name

    proto = onnx_from_keras(again)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    want = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    assert np.ptp(want) > 1e-3
    for count in (1, 3):
        (got,) = session.run(None, {"clip": clips[:count]})
        np.testing.assert_allclose(got, want[:count], 0, 1e-5)


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="maps must be at least 1; got 0"):
        AttentionMaps(0)
    with pytest.raises(ValueError, match="pool must be at least 1; got 0"):
        TextureEnhancement(0)


@pytest.mark.slow
def test_taps_lie_at_the_ends_of_blocks_2_and_5() -> None:
    from keras_ddl.networks.extend import producer

    cnn = keras.applications.EfficientNetB4(False, None, input_shape=(64, 64, 3))
    fed = [producer(cnn, f"block{block}a_expand_conv") for block in (3, 6)]
    assert fed == list(multi_attentional.TAPS.values())
    sides = [cnn.get_layer(tap).output_shape[1] for tap in fed]
    assert sides[0] == sides[1] * multi_attentional.POOL


@pytest.mark.parametrize(
    ("old", "new"), [((5, 5), (19, 19)), ((24, 24), (95, 95)), ((6, 3), (4, 8))]
)
def test_maps_are_resized_as_tensorflow_resizes_images(
    old: tuple[int, int], new: tuple[int, int]
) -> None:
    maps, features = positive(2, *old, M), noise(2, *new, C)
    np.testing.assert_allclose(resized(maps, features), tf.image.resize(maps, new), 1e-5, 1e-5)

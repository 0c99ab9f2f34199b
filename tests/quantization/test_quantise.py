"""Quantisers stand where TensorRT wants them, and batch norm folds without a trace."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_model_optimization")

from keras_ddl import build_model
from keras_ddl.framework import keras
from keras_ddl.layers import ChannelBias, PaddedMaxPool2D, QuantPoint
from keras_ddl.quantization.quantise import quant_points, quantised, rounded_layers, set_active
from keras_ddl.quantization.rules import RULES, decide, with_floats


def network(backbone: str, **options: Any) -> Any:
    return build_model(backbone, frames=4, size=64, width=0.125, **options)


@pytest.fixture(scope="module")
def clips() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, 4, 64, 64, 3), np.uint8)


@pytest.mark.parametrize(
    "backbone", [pytest.param("compact_xception", marks=pytest.mark.slow), "resnet18"]
)
def test_folding_alone_changes_nothing(backbone: str, clips: np.ndarray, randomise: Any) -> None:
    # DFDC has no batch norm, and the last bit decides which positions it keeps.
    model = network(backbone, modules=("msa",))
    randomise(model)
    folded = quantised(model)
    set_active(folded, False)
    np.testing.assert_allclose(folded(clips), model(clips, training=False), atol=1e-5)
    norms = [p for p in folded.submodules if isinstance(p, keras.layers.BatchNormalization)]
    assert not norms and any(isinstance(part, ChannelBias) for part in folded.submodules)


def test_every_convolution_reads_a_quantiser(randomise: Any) -> None:
    """Walked from the graph itself: through padding, a QuantPoint feeds each one."""
    folded = quantised(network("compact_xception", modules=()))
    feeds = sources(folded)
    rounded = rounded_layers(folded)
    assert len(rounded) > 30 and "conv1" in rounded and "fusion" in rounded
    for name in rounded:
        source = feeds[name][0]
        while isinstance(folded.get_layer(source), keras.layers.ZeroPadding2D):
            source = feeds[source][0]
        assert isinstance(folded.get_layer(source), QuantPoint), name
    readers = [name for name, found in feeds.items() if "block2_relu_quant" in found]
    assert sorted(readers) == ["block2_sepconv1_depthwise", "block2_skip"]  # one for both
    for layer in folded.layers:
        if isinstance(layer, PaddedMaxPool2D):
            assert isinstance(folded.get_layer(feeds[layer.name][0]), QuantPoint)


def test_a_residual_sum_rounds_the_branch_that_no_convolution_ends() -> None:
    feeds = sources(quantised(network("compact_xception", modules=())))
    # Block 1: pooling on one side, a convolution on the other. Block 4: convolution and skip.
    assert feeds["block1_add"] == ["block1_pool_quant", "block1_skip_bn"]
    assert feeds["block4_add"] == ["block4_sepconv3_bn", "block4_relu_quant"]
    feeds = sources(quantised(network("resnet18", modules=())))
    # Both end in a convolution: the second is the skip.
    assert feeds["layer2_0_add"] == ["layer2_0_conv2_bn", "layer2_0_downsample_bn_quant"]


def sources(model: Any) -> dict[str, list[str]]:
    return {
        entry["name"]: [call[0] for node in entry["inbound_nodes"] for call in node]
        for entry in model.get_config()["layers"]
    }


@pytest.mark.slow
def test_what_the_rules_leave_float_has_no_quantiser() -> None:
    model = network("compact_xception")
    names = set(rounded_layers(quantised(model)))
    assert not {"logits", "attention_squeeze", "attention_excite"} & names
    assert "block1_msa/vertical_full_taps" in names and "block1_dfdc/value" in names
    fewer = quantised(model, with_floats(["block1_*", "conv*"]))
    left = {name for name in rounded_layers(fewer) if name.startswith(("block1_", "conv"))}
    assert not left
    assert not [n for n in quant_points(fewer) if n.startswith(("block1_msa", "block1_dfdc"))]
    assert decide("logits").why and not decide("block1_x", with_floats(["block1_*"])).int8
    assert decide("anything", RULES).int8 and not decide("anything", ()).int8


def test_kernels_round_to_254_steps_of_their_channels_largest_entry(randomise: Any) -> None:
    model = network("compact_xception", modules=("msa",))
    randomise(model)
    layers = rounded_layers(quantised(model))
    for name, axis in (("fusion", 3), ("block1_sepconv1_depthwise", 2)):
        layer = layers[name]
        kernel = (layer.depthwise_kernel if axis == 2 else layer.kernel).numpy()
        rounded = layer.rounded(tf.constant(kernel)).numpy()
        other = tuple(i for i in range(4) if i != axis)
        step = np.abs(kernel).max(axis=other, keepdims=True) / 127
        steps = rounded / step
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-3)
        assert np.abs(steps).max() == pytest.approx(127, abs=1e-3)
        assert np.abs(rounded - kernel).max() <= (0.5001 * step).max()
        assert len(np.unique(np.rint(steps))) > 5


def test_a_quantiser_rounds_to_its_range_and_averages_in_training() -> None:
    point = QuantPoint(8)
    point(tf.zeros((1, 4)))
    point.amax = 12.7
    values = tf.constant([[-20.0, 0.04, 0.06, 12.68]])
    np.testing.assert_allclose(point(values), [[-12.7, 0.0, 0.1, 12.7]], atol=1e-5)
    point(values, training=True)
    assert point.amax == pytest.approx(0.999 * 12.7 + 0.001 * 20)
    gradient = tf.GradientTape()
    with gradient:
        gradient.watch(values)
        total = tf.reduce_sum(point(values))
    np.testing.assert_array_equal(gradient.gradient(total, values), [[0, 1, 1, 1]])

"""Costs against numbers worked out by hand, and against the operations of the traced graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl import build_model, extend
from keras_ddl.framework import keras
from keras_ddl.layers import DFDC, MSA, ClipToFrames, FramesToChannels
from keras_ddl.networks.ablations import TITLES, VARIANTS
from keras_ddl.networks.backbones import DEFAULT_SIZES
from keras_ddl.networks.channels_first import channels_first
from keras_ddl.networks.cost import ablation_cost, macs, parameters, released_macs
from keras_ddl.networks.model import main

# One clip of 4 frames of 8 × 8 pixels; the convolution makes 4 × 4 × 16 of each.
BY_HAND = {
    "conv": 4 * (4 * 4) * (3 * 3 * 3 * 16),
    "dfdc/query": 4 * (4 * 4) * 16 * 2,
    "dfdc/key": 4 * (4 * 4) * 16 * 2,
    "dfdc/similarity": 4 * (4 * 4) * 2,
    "dfdc/value": 4 * 3 * 16 * 16,  # three positions kept in each frame
    **{
        f"msa/{direction}_{step}": count
        for direction in ("vertical", "horizontal")
        for step, count in {
            "full_taps": 4 * 16 * 3 * 16,
            "full_pointwise": 4 * 16 * 16 * 4,
            "half_taps": 2 * 16 * 3 * 16,  # two frames
            "half_pointwise": 2 * 16 * 16 * 4,
            "quarter_taps": 1 * 16 * 3 * 16,  # one
            "quarter_pointwise": 1 * 16 * 16 * 4,
            "merge": 4 * 16 * 4 * 16,
        }.items()
    },
    "depthwise": 4 * (4 * 4) * (3 * 3 * 16),
    "separable": 4 * (4 * 4) * (3 * 3 * 16 + 16 * 8),
    "fusion": (4 * 4) * (4 * 8) * 10,  # once per clip
    "shared": 2 * 10 * 10,  # called twice
    "logits": 10 * 2,
}


@pytest.fixture(scope="module")
def tiny() -> Any:
    """A network with every kind of layer that is counted, and some that are not."""
    layers = keras.layers
    clip = keras.Input((4, 8, 8, 3), dtype="uint8")
    x = layers.Conv2D(16, 3, 2, "same", name="conv")(ClipToFrames()(clip))
    x = layers.ReLU()(layers.BatchNormalization(name="norm")(x))
    x = MSA(4, name="msa")(DFDC(4, 3, name="dfdc")(x))
    x = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(x)
    x = layers.SeparableConv2D(8, 3, padding="same", name="separable")(x)
    x = layers.Conv2D(10, 1, name="fusion")(FramesToChannels(4)(x))
    shared = layers.Dense(10, name="shared")
    pooled = layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)
    x = layers.Add()([shared(pooled[0]), shared(pooled[1])])
    return keras.Model(clip, layers.Dense(2, name="logits")(x), name="tiny")


@pytest.fixture(scope="module")
def compact() -> Any:
    return build_model("compact_xception")


def traced_macs(model: Any) -> int:
    """Convolutions and matrix products of the graph that TensorFlow runs for one clip."""
    clip = tf.TensorSpec((1, *model.input_shape[1:]), model.inputs[0].dtype)
    graph = tf.function(lambda x: model(x, training=False)).get_concrete_function(clip).graph
    total = 0
    for operation in graph.get_operations():
        shapes = [tensor.shape for tensor in operation.inputs]
        if operation.type in ("Conv2D", "DepthwiseConv2dNative"):
            outputs = np.prod([size or 1 for size in operation.outputs[0].shape])
            per_output = shapes[1][0] * shapes[1][1]
            total += outputs * per_output * (shapes[1][2] if operation.type == "Conv2D" else 1)
        elif operation.type == "MatMul":
            total += np.prod([size or 1 for size in (*shapes[0], shapes[1][1])])
    return int(total)


def test_tiny_network_by_hand(tiny: Any) -> None:
    assert macs(tiny) == BY_HAND


def test_tiny_network_in_the_authors_way(tiny: Any) -> None:
    pairs_of_frames, every_position = 4 * 4 * (4 * 4) * 2, 4 * (4 * 4) * 16 * 16
    changed = {"dfdc/similarity": pairs_of_frames, "dfdc/value": every_position}
    assert released_macs(tiny) == {**BY_HAND, **changed}


def test_the_traced_graph_does_the_same_work(tiny: Any) -> None:
    counted = macs(tiny)
    # The scores are a product and a sum over channels, which a graph does not show as one.
    assert traced_macs(tiny) == sum(counted.values()) - counted["dfdc/similarity"]


@pytest.mark.skipif(keras.__name__ == "keras", reason="networks of Keras 2 alone are exported")
def test_channels_first_costs_the_same(tiny: Any) -> None:
    chosen = keras.Model(tiny.input, tiny.get_layer("depthwise").output)
    assert macs(channels_first(chosen)) == macs(chosen)


def test_a_network_of_frames_needs_their_number(tiny: Any) -> None:
    image = keras.Input((8, 8, 16))
    cnn = keras.Model(image, keras.layers.Conv2D(8, 1, name="conv")(image))
    plugged = extend(cnn, ["conv"], ("msa",), frames=4)
    assert macs(plugged, 4)["conv"] == 4 * 64 * 16 * 8
    assert macs(plugged, 4)["conv_msa/vertical_half_pointwise"] == 2 * 64 * 8 * 2
    with pytest.raises(ValueError, match="how many make a clip; got None; give it: macs"):
        macs(plugged)


def test_parameters_are_the_trainable_ones(tiny: Any) -> None:
    assert parameters(tiny.get_layer("conv")) == 3 * 3 * 3 * 16 + 16
    assert parameters(tiny.get_layer("norm")) == 2 * 16
    assert parameters(tiny) == sum(int(tf.size(w)) for w in tiny.trainable_weights)


def test_unknown_kernel_is_refused_rather_than_left_out() -> None:
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, keras.layers.Conv2DTranspose(4, 3, name="up")(image))
    with pytest.raises(ValueError, match=r"up: expected .*Conv2D.*; got Conv2DTranspose; add it"):
        macs(model, 4)


def test_unknown_size_is_refused() -> None:
    image = keras.Input((None, None, 3))
    model = keras.Model(image, keras.layers.Conv2D(4, 3, name="conv")(image))
    with pytest.raises(ValueError, match=r"conv: expected a known image size; got .*; build"):
        macs(model, 4)


def test_layer_called_on_two_sizes_is_refused() -> None:
    image, conv = keras.Input((8, 8, 3)), keras.layers.Conv2D(3, 3, name="conv")
    model = keras.Model(image, conv(conv(image)))
    with pytest.raises(ValueError, match="conv: expected images of one size; got several; give"):
        macs(model, 4)


def test_compact_xception_costs_what_the_design_says(compact: Any) -> None:
    count, both, released = ablation_cost(compact, ("dfdc", "msa"))
    assert count == parameters(compact) == 10_592_688  # the released network's
    assert released == pytest.approx(30.8, abs=0.1)
    _, plain, plain_released = ablation_cost(compact, ())
    assert plain == plain_released
    assert plain == pytest.approx(20, abs=1)
    assert both - plain == pytest.approx(6, abs=1)
    assert both / plain == pytest.approx(1.3, abs=0.05)


@pytest.mark.slow
def test_an_ablation_costs_what_its_own_network_does() -> None:
    small = {"frames": 4, "size": 64, "width": 0.25, "stages": ["stage1", "stage3"]}
    full = build_model("resnet18", **small)
    for label, modules in zip(TITLES.values(), VARIANTS.values(), strict=True):
        own = build_model("resnet18", modules, **small)
        count, cost, released = ablation_cost(full, modules)
        assert count == parameters(own), label
        assert cost * 1e9 == pytest.approx(sum(macs(own).values())), label
        assert released * 1e9 == pytest.approx(sum(released_macs(own).values())), label


@pytest.mark.slow
def test_summary_prints_every_network(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--summary"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len({line.rstrip() for line in lines[:26]}) == 26  # heading, rule, 6 × 4 rows
    assert [line.split(",")[0] for line in lines[2:26:4]] == list(DEFAULT_SIZES)
    assert "10,592,688" in lines[5] and lines[5].endswith("30.85")


def test_summary_of_an_impossible_clip_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--summary", "--frames", "6"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: build_model: frames must be")

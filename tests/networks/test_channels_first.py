"""The channels-first twin: the same weights, the same answer.

TensorFlow cannot run it on a CPU, so its traced graph is converted and run in ONNX Runtime.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
tf2onnx = pytest.importorskip("tf2onnx")

from keras_ddl import build_model
from keras_ddl.framework import keras
from keras_ddl.layers import (
    DFDC,
    MSA,
    ClipToFrames,
    FramesToChannels,
    FramesToClip,
    PaddedMaxPool2D,
)
from keras_ddl.networks.channels_first import channels_first
from keras_ddl.networks.extend import apply_extended, stage_modules
from keras_ddl.networks.model import with_inconsistency_map

T, OPSET = 4, 17
TO_FIRST, TO_LAST = [0, 3, 1, 2], [0, 2, 3, 1]
SIZES = {"compact_xception": 64, "xception": 71, "resnet18": 64}
SOME_STAGES = {  # one of few channels and one of many
    "compact_xception": ["block1", "block4"],
    "xception": ["block2", "block5"],
    "resnet18": ["stage1", "stage3"],
}
layers = keras.layers


def graph_of(model: Any) -> Any:
    """The model's traced graph as ONNX, with a free batch."""
    spec = [tf.TensorSpec((None, *model.input_shape[1:]), model.inputs[0].dtype, name="clip")]
    function = tf.function(lambda clip: model(clip, training=False), input_signature=spec)
    proto, _ = tf2onnx.convert.from_function(function, input_signature=spec, opset=OPSET)
    return proto


def run(proto: Any, clip: np.ndarray, **constants: np.ndarray) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"clip": clip, **constants})


def layout_changes(proto: Any) -> list[str]:
    """Transposes between (N, H, W, C) and (N, C, H, W)."""
    return [
        node.name
        for node in proto.graph.node
        if node.op_type == "Transpose"
        if list(node.attribute[0].ints) in (TO_FIRST, TO_LAST)
    ]


def clips(height: int, width: int, count: int = 2) -> np.ndarray:
    shape = (count, T, height, width, 3)
    return np.random.RandomState(0).randint(0, 256, shape).astype(np.uint8)


def small_net(channels: int, *modules: Any, height: int = 5, width: int = 7) -> Any:
    """Clip → frames → convolution → the modules → one number per channel."""
    clip = keras.Input((T, height, width, 3), dtype="uint8")
    x = layers.Conv2D(channels, 1, name="conv")(ClipToFrames(1 / 127.5, -1)(clip))
    for module in modules:
        x = module(x)
    return keras.Model(clip, layers.GlobalAveragePooling2D()(FramesToChannels(T)(x)))


CASES = {  # name → channels and layers; each is one way through the code
    "dfdc, keep H": (16, lambda: [DFDC(T)]),
    "dfdc, keep 3, reduction 4": (16, lambda: [DFDC(T, 3, 4)]),
    "dfdc, keep all": (16, lambda: [DFDC(T, 35)]),
    "dfdc, keep more than all": (16, lambda: [DFDC(T, 99)]),
    "msa of few channels": (16, lambda: [MSA(T)]),
    "msa of many channels": (72, lambda: [MSA(T)]),
    "msa, reduction 2": (24, lambda: [MSA(T, 2)]),
    "both, pooled between": (16, lambda: [DFDC(T), PaddedMaxPool2D(), MSA(T)]),
    "pooling": (8, lambda: [PaddedMaxPool2D(5, 3, 2)]),
}


@pytest.mark.parametrize("name", CASES)
def test_layers_give_the_same_numbers(name: str, randomise, near) -> None:
    channels, modules = CASES[name]
    model = small_net(channels, *modules())
    randomise(model)
    clip = clips(5, 7)
    proto = graph_of(channels_first(model))
    near(run(proto, clip)[0], model(clip), 1e-5)
    assert len(layout_changes(proto)) <= 1, "at the input, where the clip comes in"


def test_a_frozen_clip_gives_the_same_numbers(randomise, near) -> None:
    model = small_net(16, DFDC(T), MSA(T))
    randomise(model)
    clip = clips(5, 7)[:, :1].repeat(T, axis=1)
    want = model(clip)
    assert np.isfinite(want).all()
    near(run(graph_of(channels_first(model)), clip)[0], want, 1e-5)
    near(model.predict(clip, verbose=0), want, 1e-5)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_graph_takes_any_number_of_clips(batch: int, randomise, near) -> None:
    model = small_net(16, DFDC(T), MSA(T))
    randomise(model)
    clip = clips(5, 7, batch)
    near(run(graph_of(channels_first(model)), clip)[0], model(clip), 1e-5)


@pytest.mark.parametrize(
    ("backbone", "width"),
    [
        pytest.param("compact_xception", 0.25, marks=pytest.mark.slow),
        pytest.param("resnet18", 0.25, marks=pytest.mark.slow),
        pytest.param("xception", 1.0, marks=pytest.mark.slow),  # has one width
        pytest.param("compact_xception", 1.0, marks=pytest.mark.slow),
        pytest.param("resnet18", 1.0, marks=pytest.mark.slow),
    ],
)
def test_networks_give_the_same_logits_and_map(backbone, width, randomise, near) -> None:
    size, stages = SIZES[backbone], SOME_STAGES[backbone]
    model = build_model(backbone, frames=T, size=size, width=width, stages=stages)
    randomise(model)
    twin = channels_first(model)
    assert [layer.name for layer in twin.layers] == [layer.name for layer in model.layers]
    proto = graph_of(with_inconsistency_map(twin, 5))
    clip = clips(size, size)
    logits, found = run(proto, clip)
    want_logits, want_found = with_inconsistency_map(model, 5)(clip)
    near(logits, want_logits, 1e-4)
    near(found, want_found, 1e-4)
    assert len(layout_changes(proto)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "options", "until", "stages"),
    [
        (
            "MobileNetV2",
            {"alpha": 0.35},
            "block_5_add",  # what follows is more of the same
            {"early": "block_1_expand_relu", "late": "block_4_add"},
        ),
        (
            "EfficientNetB0",
            {},
            "top_activation",
            {"early": "block3a_expand_activation", "late": "block5c_add"},
        ),
    ],
)
def test_extended_applications_give_the_same_features(
    name: str, options: dict, until: str, stages: dict, randomise, near
) -> None:
    cnn = getattr(keras.applications, name)(
        include_top=False, weights=None, input_shape=(64, 64, 3), **options
    )
    cnn = keras.Model(cnn.input, cnn.get_layer(until).output)
    clip = keras.Input((T, 64, 64, 3), dtype="uint8")
    frames = ClipToFrames(1 / 127.5, -1)(clip)
    features = apply_extended(cnn, frames, stages, stage_modules(("dfdc", "msa"), T, "paper"))
    model = keras.Model(clip, FramesToChannels(T)(features))
    randomise(model)
    for layer in model.layers:
        layer.finalize_state()
    given = clips(64, 64, 1)
    want = model(given).numpy()
    twin = channels_first(model)
    proto = graph_of(twin)
    got = run(proto, given, **normalisation(twin, proto))[0]
    near(got.transpose(0, 2, 3, 1), want, 1e-4)
    assert np.abs(want).max() > 1e-3


def normalisation(model: Any, proto: Any) -> dict[str, np.ndarray]:
    """Values for what tf2onnx makes inputs of in either layout: a Normalization's constants."""
    names = [value.name for value in proto.graph.input if value.name != "clip"]
    of = {
        "/sub/y": lambda layer: layer.mean,
        "/Sqrt/x": lambda layer: layer.variance,
    }
    return {
        name: np.asarray(get(model.get_layer(name.split("/")[1])))
        for name in names
        for ending, get in of.items()
        if ending in name
    }


PER_CHANNEL = {
    "normalisation": lambda: layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0]),
    "adapted": lambda: adapted(layers.Normalization()),
    "rescaling": lambda: layers.Rescaling([1.0, 2.0, 3.0], offset=[0.1, 0.0, -0.1]),
    "rescaling by one number": lambda: layers.Rescaling(2.0, offset=-1.0),
}


def adapted(layer: Any) -> Any:
    layer.adapt(np.random.RandomState(0).standard_normal((50, 4, 4, 3)) * [1, 2, 3] + [3, 2, 1])
    return layer


@pytest.mark.parametrize("name", PER_CHANNEL)
def test_constants_of_channels_stay_with_their_channel(name: str, near) -> None:
    clip = keras.Input((T, 3, 5, 3), dtype="uint8")  # as high as there are channels: no error then
    x = PER_CHANNEL[name]()(ClipToFrames()(clip))
    model = keras.Model(clip, layers.GlobalAveragePooling2D()(FramesToChannels(T)(x)))
    twin = channels_first(model)
    given = clips(3, 5)
    proto = graph_of(twin)
    near(run(proto, given, **normalisation(twin, proto))[0], model(given), 1e-5)


def test_a_mean_over_frames_stays_one(near) -> None:
    clip = keras.Input((T, 5, 7, 3), dtype="uint8")
    features = FramesToClip(T)(layers.GlobalAveragePooling2D()(ClipToFrames()(clip)))
    model = keras.Model(clip, layers.GlobalAveragePooling1D()(features))
    given = clips(5, 7)
    near(run(graph_of(channels_first(model)), given)[0], model(given), 1e-5)


def test_features_keep_their_axes(randomise, near) -> None:
    """What works along the last axis of features, with time or without, still does."""
    clip = keras.Input((T, 6, 6, 3), dtype="uint8")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(ClipToFrames()(clip)))
    x = layers.BatchNormalization()(layers.Concatenate()([x, layers.Dense(3)(x)]))
    parts = [FramesToClip(T)(x), FramesToClip(T)(layers.Dense(4)(x))]
    x = layers.Concatenate(name="joined")(parts)
    model = keras.Model(clip, layers.GlobalAveragePooling1D()(x))
    randomise(model)
    twin = channels_first(model)
    assert twin is not None and twin.get_layer("joined").output.shape[1:] == (T, 11)
    near(run(graph_of(twin), clips(6, 6))[0], model(clips(6, 6)), 1e-5)


def test_weights_are_the_same_and_independent(randomise) -> None:
    model = small_net(16, DFDC(T), MSA(T), layers.BatchNormalization())
    randomise(model)
    twin = channels_first(model)
    assert [weight.shape for weight in twin.weights] == [weight.shape for weight in model.weights]
    for got, want in zip(twin.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(got, want)
    randomise(model, seed=1)
    assert np.abs(twin.get_weights()[0] - model.get_weights()[0]).max() > 0


def test_the_model_itself_stays_as_it_is() -> None:
    model = small_net(16, DFDC(T), MSA(T))
    before = model.get_config()
    twin = channels_first(model)
    assert model.get_config() == before
    formats = Counter(getattr(layer, "data_format", None) for layer in twin.layers)
    assert formats["channels_first"] == 6 and not formats["channels_last"]


@pytest.mark.parametrize(
    ("tail", "reason"),
    [
        (layers.LayerNormalization(name="odd"), "layer odd of kind LayerNormalization has no"),
        (layers.Reshape((7, 5, 8), name="odd"), r"layer odd reshapes to \(7, 5, 8\)"),
        (layers.BatchNormalization(axis=1, name="odd"), "layer odd works along axis"),
        (layers.Permute((2, 1, 3), name="odd"), "layer odd of kind Permute has no"),
        (layers.Dense(8, name="odd"), "layer odd of kind Dense works along the last axis"),
        (layers.Activation("softmax", name="odd"), "layer odd .* works along the last axis"),
    ],
)
def test_what_has_no_twin_is_said_and_none(
    tail: Any, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = small_net(8, tail)
    with caplog.at_level(logging.WARNING, "keras_ddl.networks.channels_first"):
        assert channels_first(model) is None
    assert len(caplog.records) == 1
    assert re.search(reason, caplog.text)

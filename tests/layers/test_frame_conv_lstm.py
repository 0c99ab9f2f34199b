"""FrameConvLSTM against Keras' own ConvLSTM2D, and what follows from its definition."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.framework import keras
from keras_ddl.layers import ClipToFrames
from keras_ddl.networks.channels_first import channels_first
from keras_ddl.networks.cost import macs
from keras_ddl.networks.zoo.parts.frame_conv_lstm import FrameConvLSTM

T, C, F = 4, 3, 5


def test_it_keeps_the_contract_of_layers(check_contract) -> None:
    arguments = {
        "filters": F,
        "kernel_size": 3,
        "frames": T,
        "strides": 2,
        "padding": "valid",
        "return_sequences": False,
        "kernel_initializer": "he_normal",
        "l2": 0.5,
    }
    weights = 9 * C * 4 * F + 9 * F * 4 * F + 4 * F
    check_contract(
        FrameConvLSTM, arguments, (2 * T, 7, 6, C), trainable=weights, output=(2, 3, 2, F)
    )


@pytest.mark.parametrize("last", [False, True], ids=["sequence", "last"])
@pytest.mark.parametrize(
    ("kernel", "strides", "padding", "size"),
    [
        (3, 1, "same", (5, 6)),
        (3, 2, "same", (6, 7)),  # TensorFlow pads an even size on one side only
        (7, 2, "same", (9, 8)),  # CLRNet's first
        (1, 2, "valid", (5, 6)),  # its shortcuts
        (3, 2, "valid", (7, 6)),
        (2, 1, "valid", (4, 4)),
    ],
)
def test_it_is_keras_own_layer(
    kernel: int, strides: int, padding: str, size: tuple[int, int], last: bool, made, noise, near
) -> None:
    arguments = {"strides": strides, "padding": padding, "return_sequences": not last}
    ours = made(
        FrameConvLSTM, (2 * T, *size, C), filters=F, kernel_size=kernel, frames=T, **arguments
    )
    theirs = keras.layers.ConvLSTM2D(F, kernel, **arguments)
    clips = tf.constant(3 * noise(2, T, *size, C))  # some gates at their ends
    theirs.build(clips.shape)
    assert [weight.shape for weight in theirs.weights] == [weight.shape for weight in ours.weights]
    theirs.set_weights(ours.get_weights())
    weights = [*ours.weights], [*theirs.weights]

    with tf.GradientTape(persistent=True) as tape:
        tape.watch(clips)
        got = ours(tf.reshape(clips, (2 * T, *size, C)))
        want = theirs(clips)
        if not last:
            want = tf.reshape(want, got.shape)
        pull = noise(*got.shape, seed=1)
        pulled = [tf.reduce_sum(pull * result) for result in (got, want)]
    assert got.shape == want.shape
    near(got, want, 1e-5)
    for mine, own in zip(
        tape.gradient(pulled[0], [clips, *weights[0]]),
        tape.gradient(pulled[1], [clips, *weights[1]]),
        strict=True,
    ):
        near(mine, own, 1e-5)
        assert np.abs(own).max() > 1e-3


def test_it_starts_as_keras_own_layer_does() -> None:
    layer = FrameConvLSTM(F, 3, T, kernel_initializer="he_normal", l2=1e-2)
    layer.build((None, 8, 8, 64))
    kernel, recurrent, bias = layer.get_weights()
    own = keras.layers.ConvLSTM2D(F, 3)
    own.build((None, T, 8, 8, 64))
    np.testing.assert_array_equal(bias, own.get_weights()[2])
    columns = recurrent.reshape(-1, 4 * F)  # 45 × 20
    np.testing.assert_allclose(columns.T @ columns, np.eye(4 * F), atol=1e-5)
    assert abs(kernel.std() / np.sqrt(2 / (9 * 64)) - 1) < 0.05
    (penalty,) = layer.losses
    np.testing.assert_allclose(penalty, 1e-2 * np.square(kernel, dtype=np.float64).sum(), 1e-5)
    assert not FrameConvLSTM(F, 3, T).losses


def test_a_state_knows_the_frames_up_to_its_own(made, noise) -> None:
    layer = made(FrameConvLSTM, (T, 6, 6, C), filters=F, kernel_size=3, frames=T)
    clips = noise(2 * T, 6, 6, C)
    changed = clips.copy()
    changed[1] += 1  # the second frame of the first clip
    moved = np.abs(layer(changed) - layer(clips)).max((1, 2, 3))
    assert (moved > 1e-4).tolist() == [False, True, True, True, False, False, False, False]


def test_it_is_one_convolution_and_one_for_each_later_step(noise) -> None:
    layer = FrameConvLSTM(F, 3, T)
    operations = (
        tf.function(layer)
        .get_concrete_function(tf.TensorSpec((None, 6, 6, C)))
        .graph.get_operations()
    )
    kinds = Counter(operation.type for operation in operations)
    assert kinds["Conv2D"] == T
    assert not [kind for kind in kinds if "While" in kind]


@pytest.mark.parametrize("last", [False, True], ids=["sequence", "last"])
def test_its_cost_is_that_of_its_convolutions(last: bool) -> None:
    clip = keras.Input((T, 9, 8, C), dtype="uint8")
    layer = FrameConvLSTM(
        F, 3, T, strides=2, padding="valid", return_sequences=not last, name="lstm"
    )
    x = keras.layers.Conv2D(2, 1, name="after")(layer(ClipToFrames()(clip)))
    counted = macs(keras.Model(clip, x))
    positions = 4 * 3
    by_hand = T * positions * 9 * C * 4 * F + (T - 1) * positions * 9 * F * 4 * F
    images = 1 if last else T
    assert counted == {"lstm": by_hand, "after": images * positions * F * 2}


@pytest.mark.parametrize("last", [False, True], ids=["sequence", "last"])
def test_its_twin_for_export_gives_the_same_numbers(last: bool, randomise, noise, near) -> None:
    clip = keras.Input((T, 7, 6, C), dtype="uint8")
    layer = FrameConvLSTM(F, 3, T, strides=2, padding="valid", return_sequences=not last)
    model = keras.Model(clip, keras.layers.GlobalAveragePooling2D()(layer(ClipToFrames()(clip))))
    randomise(model)
    given = np.random.RandomState(0).randint(0, 256, (3, *clip.shape[1:])).astype(np.uint8)
    want = model(given)
    assert np.abs(np.diff(want, axis=0)).max() > 1e-3, "it depends on the clip"
    near(exported(channels_first(model), given), want, 1e-5)


def exported(twin: Any, clips: np.ndarray) -> np.ndarray:
    tf2onnx = pytest.importorskip("tf2onnx")
    ort = pytest.importorskip("onnxruntime")
    signature = [tf.TensorSpec((None, *clips.shape[1:]), tf.uint8, "clip")]
    proto, _ = tf2onnx.convert.from_keras(twin, signature, opset=17)
    kinds = Counter(node.op_type for node in proto.graph.node)
    assert kinds["Conv"] == T and kinds["Transpose"] <= 1 and not kinds["Loop"], kinds
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"clip": clips})[0]


@pytest.mark.parametrize(
    ("arguments", "shape", "says"),
    [
        ({"padding": "full"}, (T, 5, 5, C), "padding must be one of same, valid; got 'full'"),
        ({"data_format": "NCHW"}, (T, 5, 5, C), "data_format must be one of"),
        ({}, (T + 1, 5, 5, C), "a multiple of frames = 4"),
        ({}, (2, T, 5, 5, C), "expected rank 4"),
    ],
)
def test_what_it_cannot_take_is_refused(arguments: dict, shape: tuple, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        FrameConvLSTM(F, 3, T, **arguments).build(shape)


def test_the_cost_needs_a_known_size() -> None:
    layer = FrameConvLSTM(F, 3, T, name="lstm")
    layer.build((None, None, None, C))
    with pytest.raises(ValueError, match="lstm: expected a known image size; got None × None"):
        layer.macs()

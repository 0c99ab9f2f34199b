"""The recurrent heads of CNN+LSTM and DBiRNN against the equations, written out in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.framework import keras
from keras_ddl.layers import ClipToFrames
from keras_ddl.networks.channels_first import channels_first
from keras_ddl.networks.zoo import cnn_lstm, dbirnn

T, C, UNITS = 4, 6, 8
HEADS = {"cnn_lstm": (cnn_lstm, UNITS / 2048), "dbirnn": (dbirnn, UNITS / 512)}


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def head(name: str, randomise: Callable[..., None]) -> Any:
    """Pooled features of frames ``(B·T, C)`` to logits, with random weights."""
    method, width = HEADS[name]
    features = keras.Input((C,))
    model = keras.Model(features, method.recurrent_head(features, T, width))
    randomise(model)
    model.set_weights([2 * weight for weight in model.get_weights()])  # away from where σ is a line
    return model


def values(layer: Any) -> list[np.ndarray]:
    return [weight.numpy().astype(np.float64) for weight in layer.weights]


def lstm(sequence: np.ndarray, layer: Any) -> np.ndarray:
    """Last output, with the gates in Keras' order: input, forget, candidate, output."""
    kernel, recurrent, bias = values(layer)
    output = state = np.zeros(UNITS)
    for x in sequence:
        i, f, g, o = np.split(x @ kernel + output @ recurrent + bias, 4)
        state = sigmoid(f) * state + sigmoid(i) * np.tanh(g)
        output = sigmoid(o) * np.tanh(state)
    return output


def gru(sequence: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Last state; gates in Keras' order: update, reset, candidate, and reset after the product."""
    kernel, recurrent, (bias, recurrent_bias) = weights
    state = np.zeros(UNITS)
    for x in sequence:
        xz, xr, xh = np.split(x @ kernel + bias, 3)
        hz, hr, hh = np.split(state @ recurrent + recurrent_bias, 3)
        update = sigmoid(xz + hz)
        state = update * state + (1 - update) * np.tanh(xh + sigmoid(xr + hr) * hh)
    return state


def test_cnn_lstm_is_what_its_equations_say(randomise: Any, near: Any) -> None:
    model, clips = head("cnn_lstm", randomise), noise(2, T, C)
    dropped = [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert dropped == [0.5, 0.5]
    hidden, hidden_bias = values(model.get_layer("hidden"))
    kernel, bias = values(model.get_layer("logits"))
    last = np.stack([lstm(clip, model.get_layer("lstm")) for clip in clips])
    want = np.maximum(last @ hidden + hidden_bias, 0) @ kernel + bias
    near(model(clips.reshape(-1, C)), want)
    assert np.abs(want).max() > 0.1


def test_dbirnn_is_what_its_equations_say(randomise: Any, near: Any) -> None:
    model, clips = head("dbirnn", randomise), noise(2, T, C)
    both = values(model.get_layer("bidirectional"))
    kernel, bias = values(model.get_layer("logits"))
    states = [[gru(clip, both[:3]), gru(clip[::-1], both[3:])] for clip in clips]
    want = np.array(states).reshape(2, 2 * UNITS) @ kernel + bias
    near(model(clips.reshape(-1, C)), want)
    assert np.abs(want).max() > 0.1


def test_backwards_in_time_is_the_other_direction(randomise: Any, near: Any) -> None:
    model, clips = head("dbirnn", randomise), noise(2, T, C)
    layer = model.get_layer("bidirectional")
    forward, backward = np.split(layer(clips), 2, -1)
    weights = layer.get_weights()
    layer.set_weights([*weights[3:], *weights[:3]])
    turned = layer(clips[:, ::-1].copy())
    near(turned, np.concatenate([backward, forward], -1))
    assert np.abs(forward - backward).max() > 0.1


@pytest.mark.slow
def test_own_widths_are_the_published_and_the_chosen_ones() -> None:
    features = keras.Input((2048,))
    model = keras.Model(features, cnn_lstm.recurrent_head(features, T))
    lstm_weights = 4 * 2048 * (2048 + 2048 + 1)
    assert model.count_params() == lstm_weights + 2049 * 512 + 513 * 2
    features = keras.Input((1024,))
    model = keras.Model(features, dbirnn.recurrent_head(features, T))
    assert model.count_params() == 2 * 3 * 512 * (1024 + 512 + 2) + 1025 * 2


@pytest.mark.parametrize("name", HEADS)
def test_heads_export_without_loops_with_a_free_batch(name: str, randomise: Any) -> None:
    pytest.importorskip("tf2onnx")
    ort = pytest.importorskip("onnxruntime")
    from export.to_onnx import onnx_from_keras

    method, width = HEADS[name]
    clip = keras.Input((T, 8, 8, 3), dtype="uint8", name="clip")
    x = keras.layers.Conv2D(C, 3, 2)(ClipToFrames()(clip))
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    model = keras.Model(clip, method.recurrent_head(x, T, width))
    randomise(model)
    assert channels_first(model) is not None
    proto = onnx_from_keras(model)
    assert not {node.op_type for node in proto.graph.node} & {"Loop", "Scan", "If"}
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    clips = np.random.default_rng(0).integers(0, 256, (3, T, 8, 8, 3), np.uint8)
    logits = model(clips).numpy()
    want = sigmoid(logits[:, 1] - logits[:, 0])
    for count in (1, 3):
        (got,) = session.run(None, {"clip": clips[:count]})
        np.testing.assert_allclose(got, want[:count], 0, 1e-5)

"""Grad-CAM without a gradient: heads with ReLU against Keras' own, and which heads have one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.framework import keras
from keras_ddl.layers import ClipToFrames, FramesMean, FramesToClip
from keras_ddl.networks.class_activation import graph_map_kind, known_head, with_class_activation
from keras_ddl.networks.grad_cam import GradCam

layers = keras.layers
T = 4
POOL = layers.GlobalAveragePooling2D
DENSE = layers.Dense


def join() -> list[Any]:
    return [FramesToClip(T), layers.GlobalAveragePooling1D()]


HEADS: dict[str, Callable[[], list[Any]]] = {
    "of clips": lambda: [POOL(), *join(), DENSE(9, "relu"), DENSE(2)],
    "of frames, joined behind": lambda: [POOL(), DENSE(9), layers.ReLU(), *join(), DENSE(2)],
    "on both sides": lambda: [POOL(), DENSE(9, "relu"), *join(), DENSE(7, "relu"), DENSE(2)],
    "of frames, averaged": lambda: [POOL(), DENSE(9, "relu"), DENSE(2), FramesMean(T)],
    "ReLU6": lambda: [POOL(), *join(), DENSE(32), layers.ReLU(6.0), DENSE(32, "relu6"), DENSE(2)],
    "batch norm": lambda: [
        *(POOL(), layers.BatchNormalization(), DENSE(9, use_bias=False)),
        *(layers.BatchNormalization(scale=False), layers.Activation("relu")),
        *(layers.Dropout(0.5), DENSE(2), FramesMean(T)),
    ],
    "ReLU on the pooled": lambda: [layers.Dropout(0.5), POOL(), layers.ReLU(), *join(), DENSE(2)],
    "linear": lambda: [POOL(), *join(), DENSE(9), layers.BatchNormalization(), DENSE(2)],
}


def network(head: list[Any]) -> Any:
    clip = keras.Input((T, 8, 8, 3), dtype="uint8", name="clip")
    x = ClipToFrames(1 / 64, -2.0, name="clip_to_frames")(clip)
    x = layers.Conv2D(6, 3, 2, "same", name="features")(x)
    for layer in head:
        x = layer(x)
    return keras.Model(clip, x, name="judge")


def randomised(model: Any) -> Any:
    """Weights under which every ReLU lets some values pass and stops others, at 6 too."""
    random = np.random.RandomState(0)
    for layer in model.layers:
        values = [random.normal(0, 1.5, weight.shape) for weight in layer.get_weights()]
        if isinstance(layer, layers.BatchNormalization):
            values[-1] = 0.2 + np.abs(values[-1])  # the variance
        judges = isinstance(layer, DENSE) and layer.units == 2  # surely enough, but no more
        layer.set_weights([value * (0.1 if judges else 1) for value in values])
    return model


def clips() -> np.ndarray:
    return np.random.RandomState(1).randint(0, 256, (5, T, 8, 8, 3)).astype(np.uint8)


def by_the_tape(model: Any, head: list[Any], given: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Σ_k α_k A_k of each frame, by Keras' gradient; and what each layer of the head gives."""
    features = keras.Model(model.input, model.get_layer("features").output)(given)
    results = [features]
    with tf.GradientTape() as tape:
        tape.watch(features)
        for layer in head:
            stays = isinstance(layer, (layers.Dropout, layers.BatchNormalization))
            results.append(layer(results[-1], **({"training": False} if stays else {})))
        margin = results[-1][:, 1] - results[-1][:, 0]
    gradient = tape.gradient(margin, features)
    alphas = tf.reduce_mean(gradient, (1, 2), keepdims=True)
    signed = tf.reduce_sum(alphas * features, -1).numpy()
    return signed.reshape(-1, T, *signed.shape[1:]), results


@pytest.mark.parametrize("name", HEADS)
def test_it_is_what_keras_gradient_gives(name: str) -> None:
    head = HEADS[name]()
    model, given = randomised(network(head)), clips()
    signed, results = by_the_tape(model, head, given)
    found = known_head(model)
    assert found is not None and found.of_frames
    logits, exact = with_class_activation(model, found)(given)
    np.testing.assert_array_equal(logits, model(given))
    raised = np.maximum(signed, 0)
    strongest = np.maximum(raised.max((1, 2, 3)), 0.1 * np.abs(signed).max((1, 2, 3)))
    want = raised / strongest[:, None, None, None]
    assert want.max() == 1 and (want.std((1, 2, 3)) > 0.01).all()
    np.testing.assert_allclose(exact, want, atol=1e-4)
    np.testing.assert_allclose(exact, GradCam(model)(given), atol=1e-4)
    for layer, result in zip(head, results[1:], strict=True):
        if layer.name in found.caps:  # it was of use
            assert 0 < np.mean(np.asarray(result) == 0) < 1
            assert found.caps[layer.name] == np.inf or 0 < np.mean(np.asarray(result) == 6)
    assert bool(found.caps) is (name != "linear")


def test_the_map_is_what_a_person_finds() -> None:
    """Fake is ReLU(red − 10) + ReLU(green − 90): of the means red, 15, passes; green, 50, not."""
    clip = keras.Input((4, 2, 2, 3), dtype="uint8")
    conv, dense, last = layers.Conv2D(3, 1, name="features"), DENSE(2, "relu"), DENSE(2)
    x = POOL()(conv(ClipToFrames(1.0)(clip)))
    model = keras.Model(clip, FramesMean(4)(last(dense(x))))
    conv.set_weights([np.eye(3).reshape(1, 1, 3, 3), np.zeros(3)])
    dense.set_weights([np.eye(3)[:, :2], np.array([-10.0, -90.0])])
    last.set_weights([np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([0.0, 0.0])])
    frame = np.array([[[30, 200, 0], [20, 0, 9]], [[10, 0, 0], [0, 0, 0]]], np.uint8)
    found = with_class_activation(model, known_head(model))(np.stack([frame] * 4)[None])[1]
    np.testing.assert_allclose(found[0, 2], [[1, 20 / 30], [10 / 30, 0]], atol=1e-6)


def skipped(x: Any) -> Any:
    x = POOL()(x)
    return FramesMean(T)(DENSE(2)(layers.Add()([x, DENSE(6, "relu")(x)])))


UNKNOWN: dict[str, Callable[[Any], Any]] = {
    "leaky": lambda x: FramesMean(T)(DENSE(2)(layers.LeakyReLU()(POOL()(x)))),
    "sloped": lambda x: FramesMean(T)(DENSE(2)(layers.ReLU(negative_slope=0.1)(POOL()(x)))),
    "from a threshold": lambda x: FramesMean(T)(DENSE(2)(layers.ReLU(threshold=1.0)(POOL()(x)))),
    "sigmoid": lambda x: FramesMean(T)(DENSE(2)(DENSE(5, "sigmoid")(POOL()(x)))),
    "rectified logits": lambda x: FramesMean(T)(DENSE(2, "relu")(POOL()(x))),
    "every cell": lambda x: FramesMean(T)(DENSE(2)(DENSE(5, "relu")(layers.Flatten()(x)))),
    "the brightest cell": lambda x: FramesMean(T)(DENSE(2)(layers.GlobalMaxPooling2D()(x))),
    "beside itself": skipped,
    "along time": lambda x: DENSE(2)(layers.GRU(3)(FramesToClip(T)(POOL()(x)))),
    "dense before the mean": lambda x: DENSE(2)(
        layers.GlobalAveragePooling1D()(DENSE(5, "relu")(FramesToClip(T)(POOL()(x))))
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_of_other_heads_there_is_none(name: str) -> None:
    clip = keras.Input((T, 8, 8, 3), dtype="uint8")
    x = layers.Conv2D(6, 3, 2, "same", name="features")(ClipToFrames()(clip))
    model = keras.Model(clip, UNKNOWN[name](x))
    assert known_head(model) is None and graph_map_kind(model) is None
    assert GradCam(model)(clips()).shape[:2] == (5, T), "in the report it has one"

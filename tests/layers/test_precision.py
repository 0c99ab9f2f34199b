"""DFDC and MSA under mixed precision and compiled by XLA."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.layers import DFDC, MSA

T, SHAPE = 4, (8, 5, 6, 16)
POLICIES = ("mixed_float16", "mixed_bfloat16")
LAYERS = {"dfdc": DFDC, "msa": MSA}
INPUTS = {
    "noise": lambda noise: noise(*SHAPE),
    "constant": lambda noise: np.ones(SHAPE, np.float32),
    "zero": lambda noise: np.zeros(SHAPE, np.float32),
    "large": lambda noise: 1e4 * np.sign(noise(*SHAPE)),
    "large constant": lambda noise: np.full(SHAPE, 1e4, np.float32),
    "tiny": lambda noise: 1e-6 * noise(*SHAPE),  # squares are below float16's smallest number
}


def gradients(layer: Any, x: np.ndarray) -> tuple[Any, list[Any]]:
    """Output, and the gradients of its mean: as in training, where a loss is a mean."""
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        total = tf.reduce_mean(tf.cast(y, tf.float32))
    return y, tape.gradient(total, [x, *layer.trainable_weights])


@pytest.mark.parametrize("policy", ["float32", *POLICIES])
@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("as_graph", [False, True])
def test_everything_is_finite_on_any_input(kind, policy, as_graph, made, noise) -> None:
    layer = made(LAYERS[kind], SHAPE, frames=T, dtype=policy)
    run = tf.function(gradients) if as_graph else gradients
    for name, draw in INPUTS.items():
        y, grads = run(layer, tf.constant(draw(noise)))
        assert y.dtype == policy.removeprefix("mixed_")
        for value in (y, *grads):
            assert np.isfinite(np.asarray(value, np.float32)).all(), name
    assert {weight.dtype for weight in layer.weights} == {tf.float32}


@pytest.mark.parametrize("policy", POLICIES)
def test_scores_are_float32(policy: str, made, noise) -> None:
    layer = made(DFDC, SHAPE, frames=T, dtype=policy)
    half = tf.constant(noise(*SHAPE), policy.removeprefix("mixed_"))
    similarity = layer._similarity(half)
    assert similarity.dtype == tf.float32
    assert layer.inconsistency(half).dtype == tf.float32
    steps = np.asarray(similarity, np.float64)
    assert (steps != steps.astype(np.float16)).any(), "not a rounded number in a wider type"


@pytest.mark.parametrize("policy", POLICIES)
def test_identical_frames_pass_unchanged_in_half_precision(policy: str, made, noise) -> None:
    layer = made(DFDC, SHAPE, frames=T, dtype=policy)
    x = tf.constant(np.repeat(noise(2, *SHAPE[1:]), T, axis=0), policy.removeprefix("mixed_"))
    np.testing.assert_array_equal(tf.cast(layer(x), tf.float32), tf.cast(x, tf.float32))


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_compiled_is_the_same(kind: str, jit_compile: bool, made, noise, near) -> None:
    layer = made(LAYERS[kind], SHAPE, frames=T)
    x = noise(*SHAPE)
    want_y, want = gradients(layer, x)
    got_y, got = tf.function(lambda x: gradients(layer, x), jit_compile=jit_compile)(x)
    near(got_y, want_y, 1e-5, "y")
    for name, one, other in zip(
        ["x", *(weight.name for weight in layer.trainable_weights)], got, want, strict=True
    ):
        near(one, other, 1e-5, name)

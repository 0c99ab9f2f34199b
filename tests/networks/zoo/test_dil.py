"""DIL's modules against loops in NumPy, and by what defines them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.framework import keras
from keras_ddl.layers import ClipToFrames, FramesToClip
from keras_ddl.networks.cost import macs
from keras_ddl.networks.zoo import dil
from keras_ddl.networks.zoo.parts.dil_modules import InterSIM, IntraSIM, both_ways, convolved, delta
from keras_ddl.training.batch_norm import backbone_layers

U, T, H, W, C = 3, 4, 5, 6, 16
KINDS = (
    (IntraSIM, {"frames": T, "reduction": 4, "taps": 5}),
    (InterSIM, {"snippets": U, "frames": T, "reduction": 2}),
)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def convolution(x: np.ndarray, layer: Any) -> np.ndarray:
    """Cross-correlation over all axes between the first and the last, zero padded, tap by tap."""
    kernel, *bias = (weight.numpy().astype(np.float64) for weight in layer.weights)
    sides = kernel.shape[:-2]
    padded = np.pad(x, [(0, 0), *((side // 2, side // 2) for side in sides), (0, 0)])
    total = np.zeros((1,))
    for tap in np.ndindex(*sides):
        windows = (slice(a, a + n) for a, n in zip(tap, x.shape[1:-1], strict=True))
        part, depthwise = padded[(slice(None), *windows)], "depthwise" in layer.name
        total = total + (part * kernel[tap][:, 0] if depthwise else part @ kernel[tap])
    return total + sum(bias)


def drawn(layer: Any, randomise: Callable[..., None]) -> Any:
    layer.build((None, H, W, C))
    randomise(layer)
    return layer


@pytest.fixture
def intra(randomise: Callable[..., None]) -> Any:
    return drawn(IntraSIM(T, 4), randomise)


@pytest.fixture
def inter(randomise: Callable[..., None]) -> Any:
    return drawn(InterSIM(U, T, 2), randomise)


def differences(own: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """To the next and to the one before, along the second axis; 0 where there is none."""
    ahead, behind = np.zeros_like(own), np.zeros_like(own)
    for i in range(own.shape[1]):
        if i + 1 < own.shape[1]:
            ahead[:, i] = own[:, i] - moved[:, i + 1]
        if i > 0:
            behind[:, i] = own[:, i] - moved[:, i - 1]
    return ahead, behind


def test_intra_sim_is_what_its_equations_say(intra: Any, near: Any) -> None:
    x = noise(2 * T, H, W, C)
    kept, moving = np.split(x.astype(np.float64), 2, -1)
    squeezed = convolution(moving, intra.squeeze)
    moved = convolution(squeezed, intra.motion_depthwise)
    both = differences(squeezed.reshape(2, T, H, W, -1), moved.reshape(2, T, H, W, -1))
    attention = 1.0
    for side in ("height", "width"):
        conv, expand = getattr(intra, f"{side}_conv"), getattr(intra, f"{side}_expand")
        ways = [convolution(convolution(d, conv) + d, expand) for d in both]
        attention = attention * sigmoid((ways[0] + ways[1]) / 2)
    half = moving.reshape(2, T, H, W, C // 2)
    weighed = attention * half + half
    want = np.zeros_like(half)
    weights = [
        weight.numpy() for weight in (*intra.kernel_hidden.weights, *intra.kernel_taps.weights)
    ]
    for n in range(2):
        for c in range(C // 2):
            means = np.array([half[n, t, :, :, c].mean() for t in range(T)])
            scores = np.maximum(means @ weights[0] + weights[1], 0) @ weights[2] + weights[3]
            kernel = np.exp(scores) / np.exp(scores).sum()
            for t in range(T):
                for tap, offset in enumerate((-1, 0, 1)):
                    if 0 <= t + offset < T:
                        want[n, t, :, :, c] += kernel[tap] * weighed[n, t + offset, :, :, c]
    near(intra(x), np.concatenate([kept, want.reshape(2 * T, H, W, C // 2)], -1))
    np.testing.assert_array_equal(intra(x)[..., : C // 2], x[..., : C // 2], "I₁ passes as it is")


def test_intra_sim_sees_no_difference_in_frames_that_are_alike(intra: Any, near: Any) -> None:
    still = np.repeat(noise(1, H, W, C // 2), 2 * T, 0)
    squeezed = convolution(still.astype(np.float64), intra.squeeze)[:T]
    left = squeezed - convolution(squeezed, intra.motion_depthwise)
    left[[0, -1]] /= 2  # with one neighbour only
    near(intra.difference(still), np.stack([left, left]))
    intra.motion_depthwise.set_weights([delta((3, 3, 8, 1))])
    assert np.all(intra.difference(still) == 0)
    fresh = IntraSIM(T)
    fresh.build((None, H, W, C))
    assert np.all(fresh.difference(still) == 0), "it starts as the delta"
    assert np.any(intra.difference(noise(*still.shape)) != 0)


def test_the_kernel_along_time_has_the_sum_1_and_the_delta_changes_nothing(intra: Any) -> None:
    kernel = intra.kernel(noise(2, T, H, W, C // 2)).numpy()
    assert kernel.shape == (2, C // 2, 3) and kernel.min() > 0
    np.testing.assert_allclose(kernel.sum(-1), 1, 0, 1e-6)
    x = noise(2, T, H, W, 3)
    for taps in (1, 3, 5):
        alone = np.zeros((2, 3, taps), np.float32)
        alone[..., taps // 2] = 1
        np.testing.assert_array_equal(convolved(x, tf.constant(alone)), x)


def test_the_kernel_along_time_is_a_correlation(near: Any) -> None:
    x, kernel = noise(2, 6, 1, 1, 2), noise(2, 2, 5, seed=1)
    got = convolved(tf.constant(x), tf.constant(kernel)).numpy()
    for n, c in np.ndindex(2, 2):
        near(got[n, :, 0, 0, c], np.correlate(x[n, :, 0, 0, c], kernel[n, c], "same"))


def test_both_ways_by_hand_and_backwards() -> None:
    x = np.float32([[[1], [3], [8]]])
    assert np.ravel(both_ways(x, x)).tolist() == [-1.0, (-5 + 2) / 2, 2.5]
    other = noise(2, 5, 3)
    expected = noise(2, 5, 3, seed=1)
    turned = both_ways(other[:, ::-1], expected[:, ::-1])
    np.testing.assert_array_equal(turned[:, ::-1], both_ways(other, expected))


def test_snippets_do_not_mix_in_intra_sim_and_do_in_inter_sim(intra: Any, inter: Any) -> None:
    x = noise(U * T, H, W, C)
    other = x.copy()
    other[T:] += 1  # from the second snippet on
    np.testing.assert_allclose(intra(x)[:T], intra(other)[:T], 0, 1e-6)
    assert np.abs(inter(x)[:T] - inter(other)[:T]).max() > 0.1


def test_clips_do_not_mix_in_inter_sim(inter: Any) -> None:
    x = noise(2 * U * T, H, W, C)
    swapped = np.concatenate([x[U * T :], x[: U * T]])
    got = np.concatenate([inter(swapped)[U * T :], inter(swapped)[: U * T]])
    np.testing.assert_allclose(got, inter(x), 0, 1e-5)


def test_inter_sim_is_what_its_equations_say(inter: Any, near: Any) -> None:
    x = noise(2 * U * T, H, W, C).astype(np.float64)
    means = x.mean((1, 2)).reshape(2, U, T, C)
    norm = inter.interaction_bn
    gamma, beta, mean, variance = (weight.numpy().astype(np.float64) for weight in norm.weights)
    normed = (
        gamma * (convolution(means, inter.interaction) - mean) / np.sqrt(variance + norm.epsilon)
        + beta
    )
    first = sigmoid(convolution(normed, inter.interaction_expand))
    squeezed = convolution(means, inter.squeeze)
    both = differences(squeezed, convolution(squeezed, inter.motion_depthwise))
    ways = [convolution(d, inter.motion_expand) for d in both]
    gate = first * sigmoid((ways[0] + ways[1]) / 2)
    weighed = x * (1 + gate.reshape(2 * U * T, 1, 1, C))
    kernel = inter.mix_depthwise.depthwise_kernel.numpy()[:, 0, :, 0]  # (3, C)
    clips = weighed.reshape(2, U, T, H, W, C)
    want = np.zeros_like(clips)
    for u in range(U):
        for tap, offset in enumerate((-1, 0, 1)):
            if 0 <= u + offset < U:
                want[:, u] += clips[:, u + offset] * kernel[tap]
    near(inter(x.astype(np.float32)), want.reshape(x.shape))
    near(inter.interactions(means.astype(np.float32)), first)


def test_motion_of_snippets_that_are_alike_is_the_bias_alone(inter: Any) -> None:
    inter.motion_depthwise.set_weights([delta((1, 3, 8, 1))])
    bias = sigmoid(inter.motion_expand.bias.numpy())
    alike = np.repeat(noise(2, 1, T, C), U, 1)
    want = np.broadcast_to(bias, alike.shape)
    np.testing.assert_allclose(inter.motions(alike), want, 0, 1e-6)
    assert np.abs(inter.motions(noise(2, U, T, C)) - want).max() > 0.1


def test_inter_sim_starts_as_a_gain_between_1_and_2_of_each_channel() -> None:
    layer = InterSIM(U, T)
    x = 1 + np.abs(noise(U * T, H, W, C))
    gain = layer(x) / x
    assert 1 < np.min(gain) and np.max(gain) < 2
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:, :1, :1], gain.shape), 1e-5)


def test_operations_by_hand(intra: Any, inter: Any) -> None:
    image = keras.Input((H, W, C))
    intra(image), inter(image)
    # squeeze 8 → 8, 3×3 depthwise, twice (3×3 of 8 → 8 and 8 → 8), 3 taps; 4 → 8 → 3 of 8 channels
    position = 8 * 8 + 9 * 8 + 2 * (9 * 8 * 8 + 8 * 8) + 3 * 8
    assert intra.macs() == H * W * position + 8 * (4 * 8 + 8 * 3) // T
    # 3 taps 16 → 8, 8 → 16; 16 → 8, 3 depthwise taps, 8 → 16; 3 taps at each position
    assert inter.macs() == 3 * 16 * 8 + 8 * 16 + 16 * 8 + 3 * 8 + 8 * 16 + H * W * 3 * 16


@pytest.mark.parametrize(("kind", "arguments"), KINDS)
def test_survives_config_and_file_learns_and_follows_the_policy(
    kind: Any, arguments: dict[str, Any], tmp_path: Path, randomise: Callable[..., None]
) -> None:
    def model() -> Any:
        image = keras.Input((H, W, C))
        return keras.Model(image, kind(**arguments, name="module")(image))

    x, first = noise(U * T, H, W, C), model()
    randomise(first)
    first.save_weights(tmp_path / "weights.h5")
    again = keras.Model.from_config(first.get_config())
    again.load_weights(tmp_path / "weights.h5")
    np.testing.assert_array_equal(again(x), first(x))
    assert arguments.items() <= again.get_layer("module").get_config().items()
    half = kind(**arguments, dtype="mixed_float16", weights=again.get_weights())(x)
    assert half.dtype == tf.float16
    assert np.median(np.abs(first(x) - tf.cast(half, tf.float32))) < 0.02
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(first(x, training=True) - noise(*x.shape, seed=1)))
    gradients = tape.gradient(loss, first.trainable_variables)
    for variable, gradient in zip(first.trainable_variables, gradients, strict=True):
        assert np.abs(gradient).max() > 0, variable.name


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="odd and at least 1; got 2"):
        IntraSIM(taps=2)
    with pytest.raises(ValueError, match="even number of channels; got 7"):
        IntraSIM()(np.zeros((4, 2, 2, 7), np.float32))
    for match, arguments in (("snippets must be", (0,)), ("frames and reduction", (2, 4, 0))):
        with pytest.raises(ValueError, match=match):
            InterSIM(*arguments)
    for frames in (4, 10):
        with pytest.raises(ValueError, match=f"multiple of 4 and at least 8.*got {frames}"):
            dil.build(64, frames, width=0.125)


def test_modules_are_no_backbone() -> None:
    x = image = keras.Input((8, 8, 8))
    for block in dil.before_each_3x3():
        x = dil.alternating(2)(x, block)
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D(name="features")(x))
    kinds = [type(layer) for layer in model.layers[1:-1]]
    assert kinds == [IntraSIM, InterSIM] * 8, "16 bottlenecks, in turn"
    assert [layer.name for layer in backbone_layers(model)] == [model.layers[0].name]


def test_modules_export_with_a_free_batch(randomise: Callable[..., None]) -> None:
    pytest.importorskip("tf2onnx")
    ort = pytest.importorskip("onnxruntime")
    from export.to_onnx import onnx_from_keras

    clip = keras.Input((2 * T, 8, 8, 3), dtype="uint8", name="clip")
    x = ClipToFrames(name="clip_to_frames")(clip)
    x = keras.layers.Conv2D(16, 3, 2, "same", name="conv")(x)
    x = InterSIM(2, T, name="inter_sim")(IntraSIM(T, name="intra_sim")(x))
    x = keras.layers.GlobalAveragePooling2D(name="features")(x)
    x = keras.layers.GlobalAveragePooling1D(name="clip_features")(FramesToClip(2 * T)(x))
    model = keras.Model(clip, keras.layers.Dense(2, name="logits")(x))
    randomise(model)
    assert macs(model)["intra_sim"] == 2 * T * model.get_layer("intra_sim").macs()
    proto = onnx_from_keras(model)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    clips = np.random.default_rng(0).integers(0, 256, (3, 2 * T, 8, 8, 3), np.uint8)
    logits = model(clips).numpy()
    for count in (1, 3):
        (got,) = session.run(["fake_probability"], {"clip": clips[:count]})
        want = sigmoid(logits[:count, 1] - logits[:count, 0])
        np.testing.assert_allclose(got, want, 0, 1e-5)
    assert np.ptp(want) > 1e-3


@pytest.mark.slow
def test_the_modules_come_just_before_the_3x3_of_every_bottleneck() -> None:
    from keras_ddl.networks.extend import producer

    cnn = keras.applications.ResNet50(include_top=False, weights=None, input_shape=(32, 32, 3))
    convolutions = [
        layer.name
        for layer in cnn.layers
        if isinstance(layer, keras.layers.Conv2D) and layer.kernel_size == (3, 3)
    ]
    fed = [producer(cnn, name) for name in convolutions]
    assert fed == list(dil.before_each_3x3().values()) and len(fed) == 16

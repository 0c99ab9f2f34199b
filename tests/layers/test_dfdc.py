"""DFDC: what its definition promises, on numbers a person can check."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.layers import DFDC

T, H, W, C = 4, 5, 7, 12
SHAPE = (3 * T, H, W, C)  # three clips
PARTS = {"query", "key", "value", "input_quant", "value_quant"}


@pytest.fixture
def layer(made) -> DFDC:
    return made(DFDC, SHAPE, frames=T, reduction=3)


@pytest.fixture
def x(noise) -> np.ndarray:
    return noise(*SHAPE)


def by_clip(frames: object) -> np.ndarray:
    array = np.asarray(frames)
    return array.reshape(-1, T, *array.shape[1:])


def three_pixels() -> np.ndarray:
    """One clip of 1 × 3 pixels, two channels: a and c turn once, b stands still."""
    east, north = (1.0, 0.0), (0.0, 1.0)
    a, b, c = (east, east, east, north), (east,) * 4, (east, north, north, north)
    return np.array([a, b, c], np.float32).transpose(1, 0, 2)[:, None]  # (4, 1, 3, 2)


def plain_projections(keep: int, gamma: float) -> DFDC:
    """q = k = the direction of x, v = x."""
    layer = DFDC(4, keep, reduction=1)
    layer.build((None, 1, 3, 2))
    for projection in (layer.query, layer.key, layer.value):
        projection.kernel.assign(np.eye(2).reshape(1, 1, 2, 2))
    layer.gamma.assign([gamma])
    return layer


# Σ_j k_j: a (3, 1), b (4, 0), c (1, 3).  M over the frames: a −3 −3 −3 −1, b −4 −4 −4 −4,
# c −1 −3 −3 −3.  Variances 3/4, 0, 3/4: a and c survive, b becomes the minimum, −4.
THIRD = 1 / 3
KEPT_TWO = [[THIRD, 0, 1], [1, 0, 1], [1, 0, 1], [1, 0, THIRD]]


def test_similarity_of_three_pixels() -> None:
    similarity = plain_projections(2, 0.5)._similarity(tf.constant(three_pixels()))
    want = [[-3, -4, -1], [-3, -4, -3], [-3, -4, -3], [-1, -4, -3]]
    np.testing.assert_allclose(similarity, [want], atol=1e-6)
    assert similarity.dtype == tf.float32


def test_inconsistency_of_three_pixels() -> None:
    found = plain_projections(2, 0.5).inconsistency(tf.constant(three_pixels()))
    assert found.shape == (1, 4, 1, 3)
    np.testing.assert_allclose(found[0, :, 0], KEPT_TWO, atol=1e-6)


def test_output_of_three_pixels() -> None:
    x = three_pixels()
    want = x * (1 + 2 * np.array(KEPT_TWO, np.float32)[:, None, :, None])  # v(x) = x, γ = 2
    np.testing.assert_allclose(plain_projections(2, 2.0)(x), want, atol=1e-6)


def test_one_kept_pixel_is_the_maximum_of_every_frame() -> None:
    x = three_pixels()
    x[:, :, 2] = x[:, :, 1]  # c stands still too
    found = plain_projections(1, 0.5).inconsistency(tf.constant(x))
    np.testing.assert_allclose(found[0, :, 0], [[1, 0, 0]] * 4, atol=1e-6)


HOW = {
    "eagerly": lambda function: function,
    "as a graph": tf.function,  # optimised: constants gathered, epsilons among them
    "by XLA": lambda function: tf.function(function, jit_compile=True),
}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("size", [1.0, 1e-3, 1e4])
def test_identical_frames_pass_unchanged(layer: DFDC, noise, size: float, how: str) -> None:
    def all_of_it(x: Any) -> tuple[Any, Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, layer.inconsistency(x), tape.gradient(y, x)

    x = tf.constant(np.repeat(size * noise(3, H, W, C), T, axis=0))
    y, found, gradient = HOW[how](all_of_it)(x)
    np.testing.assert_array_equal(y, x)
    np.testing.assert_array_equal(found, np.zeros((3, T, H, W)))
    np.testing.assert_array_equal(gradient, np.ones_like(x))


def test_gamma_zero_is_the_identity(layer: DFDC, x: np.ndarray) -> None:
    layer.gamma.assign([0.0])
    np.testing.assert_array_equal(layer(x), x)
    layer.gamma.assign([1e-3])
    assert np.abs(layer(x) - x).max() > 0


def test_gamma_starts_at_zero() -> None:
    fresh = DFDC(T)
    fresh.build(SHAPE)
    assert fresh.gamma.numpy().tolist() == [0.0]


def test_permuted_clips_give_permuted_outputs(layer: DFDC, x: np.ndarray) -> None:
    order = [2, 0, 1]
    permuted = by_clip(x)[order].reshape(SHAPE)
    np.testing.assert_allclose(by_clip(layer(permuted)), by_clip(layer(x))[order], atol=1e-6)


def test_a_clip_does_not_see_the_others(layer: DFDC, x: np.ndarray) -> None:
    alone = layer(x[T : 2 * T])
    among = x.copy()
    among[:T], among[2 * T :] = np.nan, 1e6
    np.testing.assert_allclose(layer(among)[T : 2 * T], alone, atol=1e-6)


def test_reversed_in_time_gives_the_reversed_output(layer: DFDC, x: np.ndarray) -> None:
    backwards = by_clip(x)[:, ::-1].reshape(SHAPE)
    np.testing.assert_allclose(by_clip(layer(backwards))[:, ::-1], by_clip(layer(x)), atol=1e-5)


def test_length_of_query_and_key_does_not_matter(layer: DFDC, x: np.ndarray) -> None:
    before = layer(x)
    layer.query.kernel.assign(layer.query.kernel * 7.0)
    layer.key.kernel.assign(layer.key.kernel / 3.0)
    np.testing.assert_allclose(layer(x), before, atol=1e-5)


def test_change_is_proportional_to_value_and_gamma(layer: DFDC, x: np.ndarray) -> None:
    change = layer(x) - x
    layer.value.kernel.assign(layer.value.kernel * 2.0)
    layer.gamma.assign(layer.gamma * 3.0)
    np.testing.assert_allclose(layer(x) - x, 6 * change, atol=1e-5)


@pytest.mark.parametrize(
    ("keep", "kept"),
    [(1, 1), (3, 3), (None, H), (H * W - 1, H * W - 1)],  # None is the height
)
def test_exactly_the_kept_positions_change_and_in_every_frame(
    made, x: np.ndarray, keep: int | None, kept: int
) -> None:
    layer = made(DFDC, SHAPE, frames=T, keep=keep, reduction=3)
    changed = by_clip((layer(x).numpy() != x).any(-1)).reshape(3, T, H * W)
    assert (changed.sum(-1) == kept).all()
    assert (changed == changed[:, :1]).all(), "the same positions in all frames of a clip"
    assert kept > 20 or (changed[0, 0] != changed[1, 0]).any(), "other positions in other clips"
    np.testing.assert_array_equal(changed, layer.inconsistency(x).numpy().reshape(3, T, -1) > 0)


def test_inconsistency_is_in_zero_to_one_and_reaches_one_in_every_frame(
    layer: DFDC, x: np.ndarray
) -> None:
    found = layer.inconsistency(x).numpy().reshape(3, T, -1)
    assert found.min() == 0
    np.testing.assert_allclose(found.max(-1), np.ones((3, T)), atol=1e-6)


def test_keeping_more_than_there_is_keeps_all(made, x: np.ndarray) -> None:
    outputs = [made(DFDC, SHAPE, frames=T, keep=keep, reduction=3)(x) for keep in (H * W, 10**6, H)]
    np.testing.assert_array_equal(outputs[0], outputs[1])
    # With nothing suppressed each frame's own lowest position is the one at 0.
    changed = by_clip((outputs[0].numpy() != x).any(-1)).reshape(3, T, H * W)
    assert (changed.sum(-1) == H * W - 1).all()
    assert np.abs(outputs[0] - outputs[2]).max() > 0.1


def test_zero_pixels_have_finite_and_small_gradients(layer: DFDC, noise) -> None:
    x = np.repeat(noise(3, H, W, C), T, axis=0)
    x[1::4, 2, 3], x[2::4, 2, 3] = 0.0, 0.0  # the one place that fluctuates, so it is kept
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        total = tf.reduce_sum(tf.square(y))
    assert layer.inconsistency(x).numpy()[:, :, 2, 3].max() > 0
    for gradient in tape.gradient(total, [x, *layer.trainable_weights]):
        assert np.isfinite(gradient).all()
        assert np.abs(gradient).max() < 1e3


def test_every_projection_and_quant_point_can_be_addressed(layer: DFDC) -> None:
    parts = [part for part in layer.submodules if isinstance(part, tf.Module)]
    named = {part.name for part in parts if hasattr(part, "get_config")}
    assert named == PARTS
    assert all(getattr(layer, name).name == name for name in PARTS)
    placed = DFDC(T, name="block3_dfdc")
    placed(tf.zeros((T, 1, 1, 8)))
    names = ("gamma", "query/kernel", "key/kernel", "value/kernel")
    assert {weight.name for weight in placed.weights} == {f"block3_dfdc/{name}:0" for name in names}


@pytest.mark.parametrize("name", ["input_quant", "value_quant"])
def test_quant_points_lie_on_the_path(layer: DFDC, x, name: str, monkeypatch) -> None:
    before = layer(x)
    monkeypatch.setattr(getattr(layer, name), "call", lambda inputs, **_: tf.round(inputs))
    assert np.abs(layer(x) - before).max() > 0.01


def test_rounding_the_scores_input_leaves_the_passed_through_values_exact(
    layer: DFDC, x: np.ndarray, monkeypatch
) -> None:
    monkeypatch.setattr(layer.input_quant, "call", lambda inputs, **_: tf.round(inputs))
    untouched = layer.inconsistency(x).numpy().reshape(-1, H, W) == 0
    np.testing.assert_array_equal(layer(x).numpy()[untouched], x[untouched])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 6}, "frames must be a positive multiple of 4; got 6; use "),
        ({"frames": 0}, "frames must be a positive multiple of 4; got 0; use 4"),
        ({"keep": 0}, "keep must be at least 1, or None for the height; got 0"),
        ({"reduction": 0}, "reduction must be at least 1; got 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"DFDC: .*{message}"):
        DFDC(**arguments)


WRONG_INPUTS = [  # shape, what is said of it
    ((6, H, W, C), "multiple of frames = 4 .*; got 6; drop the incomplete clip"),
    ((T, W, C), r"expected rank 4 .*; got rank 3, shape \(4, 7, 12\); fold the frames"),
    ((2, T, H, W, C), "expected rank 4 .*; got rank 5, .* fold the frames"),
    ((T, H, W, 7), "at least reduction = 8 channels; got 7; lower reduction"),
]


@pytest.mark.parametrize(("shape", "message"), WRONG_INPUTS)
def test_wrong_input_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"DFDC: .*{message}"):
        DFDC(T)(tf.zeros(shape))


@pytest.mark.parametrize(("shape", "message"), WRONG_INPUTS)
def test_wrong_input_is_refused_by_a_built_layer_too(
    made, shape: tuple[int, ...], message: str
) -> None:
    layer = made(DFDC, SHAPE, frames=T)
    with pytest.raises(ValueError, match=f"DFDC: .*{message}"):
        layer(tf.zeros(shape))


def test_rounding_below_the_lowest_score_is_no_negative_strength() -> None:
    """In float32, sums of T products of unit vectors reach −T − 1e-6: seen as −1.3 in a map."""
    similarity = np.full((1, 4, 9), np.nextafter(np.float32(-4), np.float32(-5)), np.float32)
    similarity[0, 0] = np.linspace(-4, -3, 9)  # one frame differs, the others are all alike
    index, strength = DFDC(4, keep=3)._select(tf.constant(similarity), 3, 3)
    assert index.numpy().tolist() == [[8, 7, 6]]
    np.testing.assert_allclose(strength[0, 0], [1, 7 / 8, 6 / 8], atol=1e-6)
    assert strength.numpy()[0, 1:].tolist() == [[0.0] * 3] * 3

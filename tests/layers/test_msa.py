"""MSA: what its definition promises, on numbers a person can check."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.layers import MSA

T, H, W, C = 8, 3, 5, 8
SHAPE = (3 * T, H, W, C)  # three clips
DIRECTIONS = ("vertical", "horizontal")
BRANCHES = [f"{d}_{s}" for d in DIRECTIONS for s in ("full", "half", "quarter")]
QUANT_POINTS = [
    "input_quant",
    "half_input_quant",
    "quarter_input_quant",
    *(f"{branch}_quant" for branch in BRANCHES),
    *(f"{direction}_merge_quant" for direction in DIRECTIONS),
]
NORMALISED = {  # batch norm → the convolution in front of it
    **{f"{branch}_bn": f"{branch}_pointwise" for branch in BRANCHES},
    **{f"{direction}_merge_bn": f"{direction}_merge" for direction in DIRECTIONS},
}


@pytest.fixture
def layer(made) -> MSA:
    return made(MSA, SHAPE, frames=T)


@pytest.fixture
def x(noise) -> np.ndarray:
    return noise(*SHAPE)


def by_clip(frames: object) -> np.ndarray:
    array = np.asarray(frames)
    return array.reshape(-1, T, *array.shape[1:])


def one_channel(**kernels: float | list[float]) -> MSA:
    """MSA of 4 frames and one channel whose sub-layers are all 0 but for those named."""
    layer = MSA(4, reduction=1)
    layer.build((None, 1, 1, 1))
    for variable in layer.weights:
        norm = variable.name.endswith(("gamma:0", "variance:0"))
        # With variance 1 − ε and scale 1 a batch norm is the identity.
        value = 1 - 1e-5 if "variance" in variable.name else 1.0
        variable.assign(np.full(variable.shape, value if norm else 0.0))
    for name, value in kernels.items():
        weight = getattr(layer, name).weights[0]
        weight.assign(np.reshape(value, weight.shape))
    return layer


def test_constant_clip_by_hand() -> None:
    # x = 2 in all four frames; full taps 1 2 3 over (previous, this, next) with zeros around the
    # clip: 2·(2+3) = 10, 12, 12, 2·(1+2) = 6; half and quarter pass 2 through. Means: 14/3, 16/3,
    # 16/3, 10/3. Merge ×3/2·ln 3 and −7·ln 3: 0, ln 3, ln 3, −2·ln 3, whose sigmoids are 1/2, 3/4,
    # 3/4, 1/10; the other direction is at sigmoid(0) = 1/2 and adds nothing.
    ones = {f"vertical_{scale}_pointwise": 1.0 for scale in ("full", "half", "quarter")}
    middle = {f"vertical_{scale}_taps": [0, 1, 0] for scale in ("half", "quarter")}
    layer = one_channel(vertical_full_taps=[1, 2, 3], vertical_merge=1.5 * log(3), **ones, **middle)
    layer.vertical_merge.bias.assign([-7 * log(3)])
    y = layer(np.full((4, 1, 1, 1), 2.0, np.float32))
    want = [2 * (1 + (s - 0.5) / 2) for s in (1 / 2, 3 / 4, 3 / 4, 1 / 10)]
    assert want == [2.0, 2.25, 2.25, pytest.approx(1.6)]
    np.testing.assert_allclose(np.ravel(y), want, atol=1e-6)


@pytest.mark.parametrize(
    ("branch", "aggregate"),
    [  # of x = 3, 6, 9, 12 by the mean of three scales, of which two are 0
        ("full", [1, 2, 3, 4]),
        ("half", [1.5, 1.5, 3.5, 3.5]),  # pairs averaged, each result for both frames
        ("quarter", [2.5, 2.5, 2.5, 2.5]),
    ],
)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_each_scale_averages_its_frames(
    direction: str, branch: str, aggregate: list[float]
) -> None:
    name = f"{direction}_{branch}"
    passing = {f"{name}_taps": [0, 1, 0], f"{name}_pointwise": 1.0, f"{direction}_merge": 0.1}
    x = np.array([3, 6, 9, 12], np.float32).reshape(4, 1, 1, 1)
    gate = 1 / (1 + np.exp(-0.1 * np.array(aggregate)))
    want = x.ravel() * (1 + (gate - 0.5) / 2)
    np.testing.assert_allclose(np.ravel(one_channel(**passing)(x)), want, atol=1e-5)


def test_gamma_zero_is_the_identity(layer: MSA, x: np.ndarray) -> None:
    layer.gamma.assign([0.0])
    np.testing.assert_array_equal(layer(x), x)
    layer.gamma.assign([0.1])
    assert np.abs(layer(x) - x).max() > 0


def test_gamma_starts_at_zero() -> None:
    fresh = MSA(T)
    fresh.build(SHAPE)
    assert fresh.gamma.numpy().tolist() == [0.0]


def test_output_stays_within_half_a_gamma(layer: MSA, x: np.ndarray) -> None:
    layer.gamma.assign([1.0])
    ratio = layer(1e3 * x) / (1e3 * x)
    assert ratio.numpy().min() == pytest.approx(0.5, abs=1e-3)
    assert ratio.numpy().max() == pytest.approx(1.5, abs=1e-3)


def test_permuted_clips_give_permuted_outputs(layer: MSA, x: np.ndarray) -> None:
    order = [2, 0, 1]
    permuted = by_clip(x)[order].reshape(SHAPE)
    np.testing.assert_allclose(by_clip(layer(permuted)), by_clip(layer(x))[order], atol=1e-6)


def test_a_clip_does_not_see_the_others(layer: MSA, x: np.ndarray) -> None:
    alone = layer(x[T : 2 * T])
    among = x.copy()
    among[:T], among[2 * T :] = np.nan, 1e6
    np.testing.assert_allclose(layer(among)[T : 2 * T], alone, atol=1e-6)


def test_a_position_does_not_see_the_others(layer: MSA, x: np.ndarray) -> None:
    moved = x.copy()
    moved[:, 1, 2] += 5.0
    changed = (layer(moved).numpy() != layer(x).numpy()).any((0, 3))
    assert np.argwhere(changed).tolist() == [[1, 2]]


def test_reversed_in_time_is_as_with_reversed_taps(layer: MSA, x: np.ndarray) -> None:
    forwards = by_clip(layer(x))
    backwards = by_clip(x)[:, ::-1].reshape(SHAPE)
    assert np.abs(by_clip(layer(backwards))[:, ::-1] - forwards).max() > 0.01
    for branch in BRANCHES:
        taps = getattr(layer, f"{branch}_taps").weights[0]
        taps.assign(taps.numpy()[::-1])
    np.testing.assert_allclose(by_clip(layer(backwards))[:, ::-1], forwards, atol=1e-5)


def test_the_two_directions_are_interchangeable(layer: MSA, x: np.ndarray) -> None:
    before = layer(x)
    vertical = [w for w in layer.weights if "vertical" in w.name]
    horizontal = [w for w in layer.weights if "horizontal" in w.name]
    for one, other in zip(vertical, horizontal, strict=True):
        one_value, other_value = one.numpy(), other.numpy()
        one.assign(other_value)
        other.assign(one_value)
    np.testing.assert_allclose(layer(x), before, atol=1e-6)


def test_training_moves_the_statistics_of_every_norm(layer: MSA, x: np.ndarray) -> None:
    before = {w.name: w.numpy() for w in layer.non_trainable_weights}
    layer(x, training=False)
    assert all(np.array_equal(before[w.name], w) for w in layer.non_trainable_weights)
    layer(x, training=True)
    assert len(before) == 2 * len(NORMALISED)
    assert not any(np.array_equal(before[w.name], w) for w in layer.non_trainable_weights)


def test_every_part_can_be_addressed(layer: MSA) -> None:
    named = {part.name for part in layer.submodules if hasattr(part, "get_config")}
    kinds = ("taps", "quant", "pointwise", "bn")
    want = {f"{branch}_{kind}" for branch in BRANCHES for kind in kinds}
    want |= {f"{d}_merge{end}" for d in DIRECTIONS for end in ("", "_quant", "_bn")}
    assert named == want | {name for name in QUANT_POINTS if "input" in name}
    assert all(getattr(layer, name).name == name for name in named)
    placed = MSA(T, name="block3_msa")
    placed(tf.zeros((T, 1, 1, 4)))
    names = {weight.name for weight in placed.weights}
    assert all(f"block3_msa/{branch}_pointwise/kernel:0" in names for branch in BRANCHES)


@pytest.mark.parametrize("name", QUANT_POINTS)
def test_quant_points_lie_on_the_path(layer: MSA, x, name: str, monkeypatch) -> None:
    before = layer(x)
    monkeypatch.setattr(getattr(layer, name), "call", lambda inputs, **_: tf.round(inputs))
    assert np.abs(layer(x) - before).max() > 1e-3


def test_batch_norms_fold_by_name(layer: MSA, x: np.ndarray) -> None:
    before = layer(x)
    for norm, conv in NORMALISED.items():
        kernel = getattr(layer, conv).kernel
        scale, shift, mean, variance = (w.numpy() for w in getattr(layer, norm).weights)
        factor = scale / np.sqrt(variance + 1e-5)
        kernel.assign(kernel.numpy() * factor)
        if getattr(layer, conv).use_bias:
            bias = getattr(layer, conv).bias
            bias.assign(bias.numpy() * factor)
        # What is left of the norm: the shift alone.
        rest = (np.ones_like(scale), shift - mean * factor, 0 * mean, 1 - 1e-5 + 0 * mean)
        getattr(layer, norm).set_weights(rest)
    np.testing.assert_allclose(layer(x), before, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"frames": 10}, "frames must be a positive multiple of 4; got 10; use "),
        ({"frames": -4}, "frames must be a positive multiple of 4; got -4; use 4"),
        ({"reduction": 0}, "reduction must be at least 1; got 0"),
    ],
)
def test_wrong_arguments_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=f"MSA: .*{message}"):
        MSA(**arguments)


WRONG_INPUTS = [  # shape, what is said of it
    ((12, H, W, C), "multiple of frames = 8 .*; got 12; drop the incomplete clip"),
    ((T, W, C), r"expected rank 4 .*; got rank 3, shape \(8, 5, 8\); fold the frames"),
    ((T, H, W, 3), "at least reduction = 4 channels; got 3; lower reduction"),
]


@pytest.mark.parametrize(("shape", "message"), WRONG_INPUTS)
def test_wrong_input_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"MSA: .*{message}"):
        MSA(T)(tf.zeros(shape))


@pytest.mark.parametrize(("shape", "message"), WRONG_INPUTS)
def test_wrong_input_is_refused_by_a_built_layer_too(
    layer: MSA, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=f"MSA: .*{message}"):
        layer(tf.zeros(shape))

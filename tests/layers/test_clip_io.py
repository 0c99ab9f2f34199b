"""The layers around the two modules: clips in and out, pooling, the inconsistency map."""

from __future__ import annotations

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.layers import (
    DFDC,
    ClipToFrames,
    FramesMean,
    FramesToChannels,
    FramesToClip,
    InconsistencyMap,
    PaddedMaxPool2D,
)
from keras_ddl.layers.channels_first import (
    ChannelsFirstClipToFrames,
    ChannelsFirstFramesToChannels,
)

T = 4


@pytest.fixture
def clip() -> np.ndarray:
    """Every byte of (2, T, 5, 6, 3) its own number, as far as bytes go."""
    return np.random.RandomState(0).randint(0, 256, (2, T, 5, 6, 3)).astype(np.uint8)


# ClipToFrames


def test_clip_becomes_scaled_frames_in_order(clip: np.ndarray) -> None:
    frames = ClipToFrames()(clip)
    assert frames.dtype == tf.float32
    for index in range(2 * T):
        want = clip[index // T, index % T] / 255
        np.testing.assert_allclose(frames[index], want, atol=1e-7)


@pytest.mark.parametrize(
    ("scale", "offset", "black", "white"),
    [
        (1 / 255, 0.0, 0.0, 1.0),  # compact_xception
        (1 / 127.5, -1.0, -1.0, 1.0),  # xception
        (1 / 58, -2.0, -2.0, 255 / 58 - 2),  # resnet18
    ],
)
def test_black_and_white(scale: float, offset: float, black: float, white: float) -> None:
    clip = np.zeros((1, 1, 1, 2, 3), np.uint8)
    clip[:, :, :, 1] = 255
    frames = ClipToFrames(scale, offset)(clip)
    np.testing.assert_allclose(frames[0, 0, :, 0], [black, white], atol=1e-6)


def test_channels_first_clip_holds_the_same_pixels(clip: np.ndarray) -> None:
    last, first = ClipToFrames()(clip), ChannelsFirstClipToFrames()(clip)
    assert first.shape == (2 * T, 3, 5, 6)
    np.testing.assert_array_equal(tf.transpose(first, (0, 2, 3, 1)), last)


def test_float_clip_is_scaled_as_bytes_are(clip: np.ndarray) -> None:
    np.testing.assert_array_equal(ClipToFrames()(clip.astype(np.float32)), ClipToFrames()(clip))


# FramesToChannels


def test_channel_t_times_c_plus_c_is_channel_c_of_frame_t() -> None:
    x = np.arange(2 * T * 3 * 2 * 5, dtype=np.float32).reshape(2 * T, 3, 2, 5)  # C = 5
    y = FramesToChannels(T)(x).numpy()
    assert y.shape == (2, 3, 2, 5 * T)
    for b in range(2):
        for t in range(T):
            np.testing.assert_array_equal(y[b, :, :, 5 * t : 5 * t + 5], x[b * T + t])


def test_channels_first_frames_hold_the_same_numbers() -> None:
    x = np.arange(2 * T * 3 * 2 * 5, dtype=np.float32).reshape(2 * T, 3, 2, 5)
    first = ChannelsFirstFramesToChannels(T)(x.transpose(0, 3, 1, 2))
    np.testing.assert_array_equal(tf.transpose(first, (0, 2, 3, 1)), FramesToChannels(T)(x))


# PaddedMaxPool2D


def pooled(x: np.ndarray, size: int, stride: int, padding: int) -> np.ndarray:
    """The maximum over each window's pixels that lie inside the image; one image, one channel."""
    high, wide = x.shape
    rows, columns = ((side + 2 * padding - size) // stride + 1 for side in x.shape)
    y = np.empty((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            top, left = i * stride - padding, j * stride - padding
            inside = x[max(top, 0) : min(top + size, high), max(left, 0) : min(left + size, wide)]
            y[i, j] = inside.max()
    return y


@pytest.mark.parametrize(
    ("high", "wide", "size", "stride", "padding"),
    [
        (8, 6, 3, 2, 1),  # even sides, where TensorFlow's own "same" sits one pixel off
        (7, 9, 3, 2, 1),  # odd sides
        (1, 2, 3, 2, 1),  # an image smaller than the window
        (9, 8, 5, 3, 2),
        (6, 6, 2, 2, 0),
    ],
)
def test_pooling_sees_the_image_and_nothing_around_it(
    high: int, wide: int, size: int, stride: int, padding: int, noise
) -> None:
    x = noise(high, wide) - 10  # all negative: padding with zeros would win everywhere
    y = PaddedMaxPool2D(size, stride, padding)(x[None, :, :, None])
    np.testing.assert_array_equal(y[0, :, :, 0], pooled(x, size, stride, padding))


def test_pooling_of_numbers_a_person_can_check() -> None:
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    assert PaddedMaxPool2D()(x).numpy().ravel().tolist() == [5, 7, 13, 15]


# InconsistencyMap


@pytest.fixture
def stage() -> DFDC:
    """A DFDC of 1 × 3 pixels of which the first turns in the last frame; see `turning`."""
    layer = DFDC(T, 1, reduction=1)
    layer.build((None, 1, 3, 2))
    for projection in (layer.query, layer.key):
        projection.kernel.assign(np.eye(2).reshape(1, 1, 2, 2))
    layer.gamma.assign([0.25])
    return layer


def turning() -> np.ndarray:
    x = np.zeros((T, 1, 3, 2), np.float32)
    x[..., 0] = 1.0
    x[3, 0, 0] = (0.0, 1.0)
    return x


def test_map_marks_the_cell_of_the_kept_position(stage: DFDC) -> None:
    found = InconsistencyMap([stage], 3)([turning()])
    assert found.shape == (1, T, 3, 3) and found.dtype == tf.float32
    # One row of three pixels seen on a 3 × 3 raster: the first column, all rows, all frames.
    np.testing.assert_allclose(found[0], np.tile([1.0, 0.0, 0.0], (T, 3, 1)), atol=1e-6)


def test_map_averages_what_falls_into_a_cell(stage: DFDC) -> None:
    # Three pixels in two cells: each covers one and a half, so the first has 1 of 1.5 = 2/3 and
    # the second 0; scaled so that the largest is 1.
    found = InconsistencyMap([stage], 2)([turning()])
    np.testing.assert_allclose(found[0], np.tile([1.0, 0.0], (T, 2, 1)), atol=1e-6)
    moved = np.roll(turning(), 1, axis=2)  # the middle pixel, shared half and half
    np.testing.assert_allclose(InconsistencyMap([stage], 2)([moved])[0], np.ones((T, 2, 2)))


def test_map_weighs_stages_by_the_size_of_gamma(stage: DFDC, made) -> None:
    other = made(DFDC, (None, 1, 3, 2), frames=T, keep=1, reduction=1)
    for projection in (other.query, other.key):
        projection.kernel.assign(np.eye(2).reshape(1, 1, 2, 2))
    other.gamma.assign([-1.0])  # its sign says nothing about where
    rolled = np.roll(turning(), 2, axis=2)  # the last pixel
    found = InconsistencyMap([stage, other], 3)([turning(), rolled])
    np.testing.assert_allclose(found[0, 0, 0], [0.25, 0.0, 1.0], atol=1e-6)


def test_map_gives_coarse_and_fine_stages_the_same_weight(stage: DFDC, made) -> None:
    fine = made(DFDC, (None, 2, 6, 2), frames=T, keep=4, reduction=1)
    for projection in (fine.query, fine.key):
        projection.kernel.assign(np.eye(2).reshape(1, 1, 2, 2))
    fine.gamma.assign([0.25])
    doubled = np.roll(turning(), 2, axis=2).repeat(2, axis=1).repeat(2, axis=2)  # the last pixel
    found = InconsistencyMap([stage, fine], 3)([turning(), doubled])
    np.testing.assert_allclose(found[0], np.tile([1.0, 0.0, 1.0], (T, 3, 1)), atol=1e-5)


def test_map_is_zero_while_gamma_is(stage: DFDC) -> None:
    stage.gamma.assign([0.0])
    found = InconsistencyMap([stage], 3)([turning()])
    np.testing.assert_array_equal(found, np.zeros((1, T, 3, 3)))


def test_map_scales_each_clip_by_itself(stage: DFDC) -> None:
    still = np.ones_like(turning())
    found = InconsistencyMap([stage], 3)([np.concatenate([turning(), still])])
    assert found[0].numpy().max() == pytest.approx(1.0)
    assert found[1].numpy().max() == 0.0


@pytest.mark.parametrize("grid", [1, 3, 4, 11])  # finer than the stage too
def test_map_of_odd_stages_stays_in_range(made, noise, grid: int) -> None:
    stage = made(DFDC, (None, 5, 7, 8), frames=T, reduction=4)
    found = InconsistencyMap([stage], grid)([noise(2 * T, 5, 7, 8)]).numpy()
    assert found.shape == (2, T, grid, grid)
    assert found.min() >= 0
    np.testing.assert_allclose(found.max((1, 2, 3)), [1, 1], atol=1e-6)


def test_map_shares_the_layers_and_adds_no_weights(stage: DFDC) -> None:
    view = InconsistencyMap([stage], 3)
    view([turning()])
    assert view.stages[0] is stage
    assert {id(weight) for weight in view.weights} == {id(weight) for weight in stage.weights}


# FramesToClip, FramesMean


def test_frames_of_a_clip_get_an_axis_of_time() -> None:
    x = np.arange(2 * T * 3).reshape(2 * T, 3)
    np.testing.assert_array_equal(FramesToClip(T)(x)[1, 2], x[T + 2])


def test_mean_of_frames_is_that_of_their_probabilities() -> None:
    odds = np.array([[3.0, 1.0, 1.0, 1 / 3], [9.0, 9.0, 9.0, 9.0]])  # of the second class
    logits = np.stack([np.zeros(2 * T), np.log(odds.ravel())], 1)
    probability = np.exp(FramesMean(T)(logits))
    np.testing.assert_allclose(probability[:, 1], [(0.75 + 0.5 + 0.5 + 0.25) / 4, 0.9], rtol=1e-6)
    np.testing.assert_allclose(probability.sum(1), 1, rtol=1e-6)


def test_mean_of_sure_frames_keeps_its_digits() -> None:
    logits = np.tile([[0.0, -90.0]], (T, 1))  # a probability below the smallest float32
    np.testing.assert_allclose(FramesMean(T)(logits)[0], [0.0, -90.0], rtol=1e-6)

"""Pseudo-fakes: twins differ by a swapped region alone, whatever else happens to both."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")
pytest.importorskip("av")

from keras_ddl.data.pseudo_fakes import blend as module
from keras_ddl.data.pseudo_fakes.blend import blend, blended_crop
from keras_ddl.data.pseudo_fakes.regions import frontal_points
from keras_ddl.data.pseudo_fakes.wide import WideFrames

SIZE, MARGIN = 96, 1.95
TIMES = 40.0 * np.arange(8)


@pytest.fixture(scope="module")
def clip() -> WideFrames:
    """Eight frames of smooth structure that do not change, a frontal face found in all."""
    y, x = np.mgrid[0:SIZE, 0:SIZE] / SIZE
    planes = [120 + 60 * np.sin(19 * x + k) * np.cos(17 * y) for k in range(3)]
    frames = np.broadcast_to(np.stack(planes, -1), (8, SIZE, SIZE, 3)).astype(np.uint8)
    points = np.broadcast_to(frontal_points(SIZE, MARGIN), (8, 5, 2))
    return WideFrames(frames, TIMES, points, MARGIN)


@pytest.fixture
def undisturbed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing happens to whole pictures, and no frame is doubled."""
    monkeypatch.setattr(module, "_doubled", lambda random, count: np.arange(count))
    monkeypatch.setattr(
        module,
        "_disturbed",
        lambda random, clip, frames, masks: module.Blend(
            np.clip(np.rint(frames), 0, 255).astype(np.uint8), np.stack(masks)
        ),
    )


def test_equal_seeds_make_equal_clips(clip: WideFrames) -> None:
    first, again, other = (blend(clip, seed, True).frames for seed in ((1, 2), (1, 2), (2, 2)))
    assert first.shape == clip.frames.shape and first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.usefixtures("undisturbed")
def test_twins_differ_inside_the_head_alone(clip: WideFrames) -> None:
    differ = 0
    for seed in range(30):
        real, fake = (blend(clip, seed, made).frames.astype(int) for made in (False, True))
        apart = np.abs(real - fake).max(axis=(0, 3))
        border = np.ones((SIZE, SIZE), bool)
        border[10:-10, 14:-14] = False
        assert apart[border].mean() < 0.1 and apart[border].max() <= 5, seed  # a soft tail
        differ += apart.max() >= 2
    assert differ > 20


@pytest.mark.usefixtures("undisturbed")
def test_either_side_is_changed(clip: WideFrames) -> None:
    """In some twins the real is the clip itself, in others it carries the change."""
    untouched = [bool((blend(clip, seed, False).frames == clip.frames).all()) for seed in range(40)]
    assert 12 < sum(untouched) < 36


def test_disturbances_are_the_twins_own_business_together(clip: WideFrames) -> None:
    """Outside the face twins stay nearly alike: only compression may differ there."""
    for seed in range(12):
        real, fake = (blend(clip, seed, made).frames.astype(int) for made in (False, True))
        corner = np.abs(real - fake)[:, :6, :6]
        assert corner.mean() < 2, seed


def test_fakes_are_steady_at_times_and_restless_at_others(
    clip: WideFrames, undisturbed: None
) -> None:
    moves = []
    for seed in range(40):
        fake, real = (blend(clip, seed, made).frames.astype(int) for made in (True, False))
        moves.append(float(np.abs(np.diff(fake - real, axis=0)).mean()))
    assert min(moves) < 0.02 and max(moves) > 0.3


def test_the_crop_is_the_middle_and_both_twins_are_cut_alike(clip: WideFrames) -> None:
    real, fake = (blended_crop(clip, 5, made, 40).frames for made in (False, True))
    assert real.shape == fake.shape == (8, 40, 40, 3)
    wide, side = SIZE, SIZE / 1.5
    plain = clip.frames[0, int((wide - side) / 2) :, int((wide - side) / 2) :][:64:2, :64:2]
    assert abs(plain.mean() - real.mean()) < 40  # a light and colour of its own, the same place


def test_a_clip_without_a_face_takes_the_middle(clip: WideFrames) -> None:
    lost = WideFrames(clip.frames, TIMES, np.full((8, 5, 2), np.nan), MARGIN)
    found = np.array([view @ (0, 0, 0, 1) for view in lost.cameras()])
    np.testing.assert_allclose(found, np.array([view @ (0, 0, 0, 1) for view in clip.cameras()]))


def test_a_frame_without_a_face_takes_its_neighbours_place(clip: WideFrames) -> None:
    points = np.array(clip.points) + 2.0 * np.arange(8)[:, None, None]
    points[3] = np.nan
    views = WideFrames(clip.frames, TIMES, points, MARGIN).cameras()
    places = np.array([view @ (0, 0, 0, 1) for view in views])
    np.testing.assert_allclose(np.diff(places, axis=0), 2.0, atol=1e-9)


@pytest.mark.usefixtures("undisturbed")
def test_masks_say_where_the_twins_differ(clip: WideFrames) -> None:
    for seed in range(20):
        real, fake = (blend(clip, seed, made) for made in (False, True))
        assert not real.masks.any() and fake.masks.dtype == np.float32
        apart = np.abs(real.frames.astype(int) - fake.frames).max(-1)
        assert not apart[fake.masks == 0].any(), seed
        assert 0.004 < (fake.masks > 0.2).mean() < 0.6


@pytest.mark.usefixtures("undisturbed")
def test_masks_are_cut_with_the_frames(clip: WideFrames) -> None:
    """Where a fake is cut wider or beside its place, so is its mask."""
    for seed in range(20):
        real, fake = (blended_crop(clip, seed, made, 48) for made in (False, True))
        assert fake.masks.shape == fake.frames.shape[:-1] and not real.masks.any()
        apart = np.abs(real.frames.astype(int) - fake.frames).max(-1)
        assert apart[fake.masks < 1 / 255].max(initial=0) <= 1, seed

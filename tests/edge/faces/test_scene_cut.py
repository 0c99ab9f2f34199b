"""Scene cuts: another picture is one, motion, flashes and noise are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from keras_ddl.edge.faces.scene_cut import CutDetector


def scene(seed: int, size: tuple[int, int] = (240, 320)) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(20, 200, (6, 8, 3), np.uint8)
    return cv2.resize(coarse, size[::-1], interpolation=cv2.INTER_CUBIC)


def test_cuts_are_found_where_they_are() -> None:
    detector = CutDetector()
    frames = [scene(0)] * 5 + [scene(1)] * 5 + [scene(2)] * 5
    assert [i for i, frame in enumerate(frames) if detector.push(frame)] == [5, 10]


@pytest.mark.parametrize("gain", [0.4, 0.7, 1.25])
def test_a_flash_or_an_exposure_step_is_no_cut(gain: float) -> None:
    detector = CutDetector()
    image = scene(0)
    detector.push(image)
    assert not detector.push((image * gain).clip(0, 255).astype(np.uint8))
    assert not detector.push(image)


def test_motion_and_noise_are_no_cut() -> None:
    detector = CutDetector()
    image = scene(0)
    generator = np.random.default_rng(0)
    for step in range(20):
        moved = np.roll(image, 3 * step, axis=1).astype(float) + generator.normal(
            0, 20, image.shape
        )
        assert not detector.push(moved.clip(0, 255).astype(np.uint8))


def test_to_black_and_back_are_cuts_and_black_itself_is_none() -> None:
    detector = CutDetector()
    black = np.zeros((240, 320, 3), np.uint8)
    assert [detector.push(f) for f in (scene(0), black, black, scene(0))] == [
        False,
        True,
        False,
        True,
    ]


@pytest.mark.real
def test_cuts_of_a_real_film(shared_real: Path) -> None:
    pytest.importorskip("av")
    from keras_ddl.edge.video import read_video

    detector = CutDetector()
    frames = read_video(shared_real / "hamilton_crowd.mp4")
    assert [frame.index for frame in frames if detector.push(frame.image)] == [20, 82, 211]

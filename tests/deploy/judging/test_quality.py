"""The gate before the judge: small, turned, dark and blurred faces are not judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deploy.judging.quality import (
    BLURRED,
    DARK,
    MIN_SHARPNESS,
    TURNED,
    grey_reference,
    sharpness,
    why_poor,
)
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.faces import HaarDetector, Track, square_crop
from keras_ddl.edge.video import read_video

cv2 = pytest.importorskip("cv2")


@pytest.fixture(scope="module")
def face(face_video: Path, haar: str) -> np.ndarray:
    """A face crop as the corridor cuts it."""
    frame = next(read_video(face_video))
    return square_crop(frame.image, HaarDetector().detect(frame.image)[0].box, 1.3, 128)


def sharpness_of(crop: np.ndarray) -> float:
    return sharpness(grey_reference(crop))


def reason(crop: np.ndarray, quality: str = "ok", turn: float | None = None) -> str:
    clip = Clip(np.stack([crop] * 8), np.arange(8) * 40.0, 1)
    track = Track(1, (0.0, 0.0, 90.0, 90.0), 0.0, 3, 0, quality=quality, turn=turn)
    return why_poor(clip, track, 48.0)


def test_a_good_face_passes(face: np.ndarray) -> None:
    assert reason(face) == ""


def test_the_clippers_grade_counts(face: np.ndarray) -> None:
    assert reason(face, "small") == "face smaller than 48 px"


def test_a_profile_does_not_pass_and_a_detector_without_eyes_says_nothing(
    face: np.ndarray,
) -> None:
    assert [reason(face, turn=turn) for turn in (0.0, 0.9, 1.0, 2.2)] == ["", "", TURNED, TURNED]
    assert reason(face, turn=None) == ""


def test_blurred_and_dark_faces_do_not_pass(face: np.ndarray) -> None:
    assert reason(cv2.GaussianBlur(face, (0, 0), 0.04 * 128 / 1.3)) == BLURRED
    assert reason((face * 0.04).astype(np.uint8)) == DARK
    assert reason(np.full_like(face, 128)) == DARK


def test_sharpness_ignores_exposure_and_size_and_falls_with_blur(face: np.ndarray) -> None:
    reference = sharpness_of(face)
    assert reference > 2 * MIN_SHARPNESS
    assert sharpness_of((face * 0.4).astype(np.uint8)) == pytest.approx(reference, rel=0.05)
    big = cv2.resize(face, (256, 256), interpolation=cv2.INTER_CUBIC)
    assert sharpness_of(big) == pytest.approx(reference, rel=0.05)
    blurred = [sharpness_of(cv2.GaussianBlur(face, (0, 0), sigma)) for sigma in (1.0, 2.0, 4.0)]
    assert reference > blurred[0] > blurred[1] > blurred[2]
    assert sharpness_of(np.zeros_like(face)) == 0.0

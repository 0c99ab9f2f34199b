"""Strips of frames, decoded again."""

from __future__ import annotations

import base64

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from keras_ddl.report.strip import SIDE, strip


def decoded(address: str) -> np.ndarray:
    kind, data = address.split(",")
    assert kind == "data:image/png;base64"
    image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    return image[..., ::-1]


def test_frames_keep_order_and_colour() -> None:
    colours = [(200, 10, 20), (10, 200, 20), (10, 20, 200), (90, 90, 90)]
    clip = np.stack([np.full((32, 32, 3), colour, np.uint8) for colour in colours])
    images = [decoded(address) for address in strip(clip, None)]
    assert [image.shape for image in images] == [(SIDE, SIDE, 3)] * 4
    assert [tuple(image[5, 5].tolist()) for image in images] == colours


def test_the_map_lies_over_its_frame() -> None:
    clip = np.full((4, 32, 32, 3), 100, np.uint8)
    heat = np.zeros((4, 4, 4), np.float32)
    heat[2, 0, 3] = 1.0  # third frame, upper right
    images = [decoded(address) for address in strip(clip, heat)]
    lower = [image.astype(int) for image in images]
    assert [image.shape for image in images] == [(SIDE, SIDE, 3)] * 4
    for index in (0, 1, 3):
        assert np.ptp(lower[index]) <= 1
    assert np.abs(lower[2][10, -10] - 100).max() > 40
    assert np.abs(lower[2][-10, 10] - 100).max() <= 1


def test_long_clips_are_thinned() -> None:
    clip = np.arange(32, dtype=np.uint8)[:, None, None, None] * np.ones((1, 8, 8, 3), np.uint8)
    shown = [int(decoded(address)[0, 0, 0]) for address in strip(clip, None)]
    assert len(shown) == 8 and (shown[0], shown[-1]) == (0, 31)
    assert shown == sorted(shown)

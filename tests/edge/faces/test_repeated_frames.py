"""Videos that show pictures twice are told from those that stand still."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv2")

from keras_ddl.edge.faces.repeated_frames import LEAST, RepeatDetector

SIZE = (72, 128, 3)


def moving(count: int, speed: float = 2.0) -> list[np.ndarray]:
    """Pictures of a pattern that moves, under a camera's noise."""
    random = np.random.default_rng(0)
    x = np.arange(SIZE[1])[None, :, None]
    y = np.arange(SIZE[0])[:, None, None]
    places = np.cumsum(speed * random.uniform(0.5, 1.5, count))
    return [
        np.clip(
            128 + 60 * np.sin((x + place) / 7) * np.cos(y / 9) + random.normal(0, 2, SIZE), 0, 255
        ).astype(np.uint8)
        for place in places
    ]


def coded_anew(image: np.ndarray, number: int) -> np.ndarray:
    """The same picture with another rounding, as a codec repeats it."""
    noise = np.random.default_rng(number).normal(0, 0.8, SIZE)
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def told(frames: list[np.ndarray]) -> list[bool]:
    detector = RepeatDetector()
    return [detector.push(frame) for frame in frames]


@pytest.mark.parametrize("times", [(2,), (3,), (1, 2)], ids=["12.5 in 25", "10 in 30", "20 in 30"])
def test_every_repeat_is_told_once_the_rhythm_is_known(times: tuple[int, ...]) -> None:
    frames, repeats = [], []
    for number, image in enumerate(moving(30)):
        shown = times[number % len(times)]
        frames += [coded_anew(image, len(frames) + k) for k in range(shown)]
        repeats += [False] + [True] * (shown - 1)
    assert told(frames)[LEAST + 1 :] == repeats[LEAST + 1 :]
    assert not any(told(frames)[:LEAST])


def test_a_video_that_shows_all_once_has_none() -> None:
    assert not any(told(moving(80)))


def test_a_still_scene_has_none() -> None:
    assert not any(told(moving(80, speed=0.0)))


def test_rests_between_movements_are_no_repeats() -> None:
    frames = moving(60)
    resting = [frames[number // 6 * 6] for number in range(60)]  # moves at every sixth frame
    assert not any(told([coded_anew(frame, number) for number, frame in enumerate(resting)]))


def test_the_rhythm_may_begin_and_end() -> None:
    once, twice = moving(40), [frame for frame in moving(40) for _ in range(2)]
    assert not any(told(twice + once)[-10:])
    assert any(told(once + twice)[-10:])

"""Faces at places of a video far from each other: one clip each, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from deploy.scanning.sampling.sampled_clipper import LEAD_IN, ROUNDS, SampledClipper, overlap
from keras_ddl.edge.clipper import FaceClipper, FrameResult
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces import Face
from keras_ddl.edge.video import Frame

SPEC = ClipSpec(frames=4, size=32, interval_ms=33.0, longest_interval_ms=100.0)
APART_MS = 30_000.0  # from one place to the next
Square = tuple[int, int, int]  # left, top, side
ONE, OTHER = (40, 80, 64), (200, 80, 64)


class RedSquares:
    """Finds every saturated red square."""

    name = "red"

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        mask = (image_rgb[..., 0] > 230) & (image_rgb[..., 1] < 20)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        return [Face(tuple(map(float, row[:4])), 1.0) for row in stats[1:]]  # type: ignore[arg-type]


def picture(squares: Iterable[Square], scene: int = 0, shift: int = 0) -> np.ndarray:
    """A coarse background, another for every scene, with red squares on it."""
    coarse = np.random.default_rng(scene).integers(20, 200, (6, 8, 3), np.uint8)
    image = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)
    image[:20, shift : shift + 20] = 255  # something that moves
    for left, top, side in squares:
        image[top : top + side, left : left + side] = (255, 0, 0)
    return image


class Walk:
    """Places gone through as a source does: on to the next when the clipper has enough."""

    def __init__(self, period_ms: float = 40.0, most: int = 60, doubled: int = 1) -> None:
        self.clipper = SampledClipper(SPEC, RedSquares(), 3, 500.0, self._on)
        self._period_ms, self._most, self._doubled = period_ms, most, doubled
        self._enough = False
        self.steps: list[list[FrameResult]] = []

    def _on(self) -> None:
        self._enough = True

    def place(self, squares: Sequence[Square], scene: int = 0) -> list[FrameResult]:
        number, self._enough = len(self.steps), False
        steps: list[FrameResult] = []
        while not self._enough and len(steps) < self._most:
            shown = picture(squares, scene, 7 * (len(steps) // self._doubled) % 300)
            time_ms = APART_MS * number + self._period_ms * len(steps)
            steps.append(self.clipper.push(Frame(shown, time_ms, 0, number)))
        self.steps.append(steps)
        return steps


def clips_of(steps: Iterable[FrameResult]) -> list[tuple[int, list[float]]]:
    return [(c.track_id, c.times_ms.tolist()) for step in steps for c in step.clips]


def test_each_place_gives_a_clip_of_each_face_and_is_left() -> None:
    walk = Walk()
    for number in range(4):
        steps = walk.place([ONE, OTHER])
        lead = LEAD_IN if number == 0 else 0
        # Seen twice, three frames apart; then the four of a clip.
        begin = APART_MS * number + 40.0 * (lead + 3)
        times = [begin, begin + 40, begin + 80, begin + 120]
        assert clips_of(steps) == [(1, times), (2, times)]
        assert len(steps) == lead + 7
    assert walk.clipper.seen == {1, 2}


def test_a_clip_is_the_first_one_of_a_face_in_a_full_scan() -> None:
    walk = Walk()
    walk.place([ONE])
    (sampled,) = (step.clips[0] for step in walk.place([ONE]) if step.clips)
    full = FaceClipper(SPEC, RedSquares(), 3, 500.0)
    frames = [Frame(picture([ONE], shift=7 * i), 40.0 * i, i) for i in range(7)]
    (first,) = (step.clips[0] for step in map(full.push, frames) if step.clips)
    np.testing.assert_array_equal(sampled.frames, first.frames)
    assert (sampled.times_ms - APART_MS).tolist() == first.times_ms.tolist()


def test_a_place_without_a_face_is_left_after_three_searches() -> None:
    walk = Walk()
    walk.place([ONE])
    assert len(walk.place([])) == 3 * (ROUNDS - 1) + 1
    assert sum(step.detected for step in walk.steps[1]) == ROUNDS


def test_a_face_found_late_is_waited_for_and_others_give_no_second_clip() -> None:
    walk = Walk()
    walk.place([ONE])
    number, steps = 1, []
    walk._enough = False
    while not walk._enough:
        squares = [ONE] if len(steps) < 2 else [ONE, OTHER]  # missed in the first search
        shown = picture(squares, shift=7 * len(steps))
        frame = Frame(shown, APART_MS + 40.0 * len(steps), 0, number)
        steps.append(walk.clipper.push(frame))
    assert [track for track, _ in clips_of(steps)] == [1, 3]  # 2 was this place's own of the first


def test_whose_face_it_is_goes_by_scene_and_place() -> None:
    walk = Walk()

    def faces(squares: Sequence[Square], scene: int = 0) -> set[int]:
        return {track for track, _ in clips_of(walk.place(squares, scene))}

    assert faces([ONE]) == {1}
    assert faces([ONE]) == {1}
    moved = (ONE[0] + 20, ONE[1], ONE[2])
    assert faces([moved]) == {1}  # it still lies on it
    new = faces([OTHER])
    assert new != {1} and len(new) == 1
    assert faces([moved, OTHER]) == {1} | new  # it was awaited
    others = faces([moved], scene=5)
    assert not others & ({1} | new)  # another scene: nobody knows
    assert {one for steps in walk.steps for step in steps for one in step.ended} == {1} | new
    assert not faces([moved], scene=0) & ({1} | new | others)


def test_repeated_frames_are_counted_once_at_every_place() -> None:
    walk = Walk(doubled=2)  # 12.5 pictures a second in 25 frames
    for _ in range(3):
        ((_, times),) = clips_of(walk.place([ONE]))
        assert np.diff(times).tolist() == [80.0, 80.0, 80.0]
    assert all(len(steps) > LEAD_IN for steps in walk.steps)


def test_a_source_that_goes_on_all_the_same_is_judged_all_along() -> None:
    """As one that could not be decoded where it was looked at, and is read whole."""
    walk = Walk()
    frames = [Frame(picture([ONE], shift=7 * (i % 40)), 40.0 * i, i) for i in range(100)]
    ends = [times[-1] for _, times in clips_of(map(walk.clipper.push, frames))]
    assert ends[0] == 40.0 * (LEAD_IN + 6)
    assert np.diff(ends).tolist() == [520.0] * (len(ends) - 1) and len(ends) >= 6


def test_the_share_of_two_boxes() -> None:
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1.0
    assert overlap((0, 0, 2, 2), (1, 0, 2, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 2, 2), (3, 0, 2, 2)) == 0.0

"""The corridor on drawn scenes: a detector that finds red squares stands in for the face finder."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

cv2 = pytest.importorskip("cv2")

from keras_ddl.edge.clipper import FaceClipper, FrameResult
from keras_ddl.edge.clips import Clip
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces import Face, HaarDetector, YuNetDetector
from keras_ddl.edge.video import Frame

SPEC = ClipSpec(size=32)
Square = tuple[int, int, int]  # left, top, side


class RedSquares:
    """Finds every saturated red square; counts its calls."""

    name = "red"

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, image_rgb: np.ndarray) -> list[Face]:
        self.calls += 1
        mask = (image_rgb[..., 0] > 230) & (image_rgb[..., 1] < 20)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
        return [Face(tuple(map(float, row[:4])), 1.0) for row in stats[1:]]  # type: ignore[arg-type]


def picture(squares: Iterable[Square], seed: int = 0) -> np.ndarray:
    """A coarse background, different for every seed, with red squares on it."""
    coarse = np.random.default_rng(seed).integers(20, 200, (6, 8, 3), np.uint8)
    image = cv2.resize(coarse, (320, 240), interpolation=cv2.INTER_CUBIC)
    for left, top, side in squares:
        image[top : top + side, left : left + side] = (255, 0, 0)
    return image


def run(
    clipper: FaceClipper, images: Iterable[np.ndarray], period: float = 40.0
) -> list[FrameResult]:
    return [clipper.push(Frame(image, period * i, i)) for i, image in enumerate(images)]


def clips_of(steps: Iterable[FrameResult]) -> list[Clip]:
    return [clip for step in steps for clip in step.clips]


def test_a_still_face_gives_clips_of_itself() -> None:
    detector = RedSquares()
    steps = run(FaceClipper(SPEC.replace(margin=2.0), detector), [picture([(100, 80, 64)])] * 25)
    assert [i for i, step in enumerate(steps) if step.detected] == list(range(0, 25, 3))
    assert detector.calls == 9
    assert all(not step.tracks for step in steps[:3])  # not confirmed yet
    assert all([track.id for track in step.tracks] == [1] for step in steps[3:])
    assert all(list(step.crops) == [1] for step in steps[3:])
    clips = clips_of(steps)
    assert [clip.times_ms.tolist() for clip in clips] == [
        [120 + 40 * i for i in range(8)],
        [440 + 40 * i for i in range(8)],
    ]
    for clip in clips:
        assert clip.frames.shape == (8, 32, 32, 3) and clip.track_id == 1
        assert (clip.frames[:, 9:23, 9:23] == (255, 0, 0)).all()  # margin 2: the middle half
        assert (clip.frames[:, :7, :7, 1] > 10).all()


@pytest.mark.parametrize("every", [1, 2, 5])
def test_detect_every(every: int) -> None:
    detector = RedSquares()
    run(FaceClipper(SPEC, detector, detect_every=every), [picture([(100, 80, 64)])] * 20)
    assert detector.calls == -(-20 // every)


def test_slow_frames_are_not_left_without_detection() -> None:
    detector = RedSquares()
    run(FaceClipper(SPEC, detector, detect_every=3), [picture([(100, 80, 64)])] * 6, period=250)
    assert detector.calls == 6


def test_the_crop_follows_a_moving_face() -> None:
    images = [picture([(60 + 2 * i, 80, 64)]) for i in range(40)]
    steps = run(FaceClipper(SPEC, RedSquares()), images)
    for i, step in enumerate(steps[12:], 12):
        (track,) = step.tracks
        assert abs(track.box[0] - (60 + 2 * i)) < 0.15 * 64
        red = (step.crops[1][..., 1] < 60).mean()
        assert red > 0.5  # (1 / 1.3)² = 0.59 when centred


def test_a_lost_face_is_not_cropped_for_long_and_no_clip_spans_the_gap() -> None:
    face, empty = picture([(100, 80, 64)]), picture([])
    images = [face] * 30 + [empty] * 9 + [face] * 30
    steps = run(FaceClipper(SPEC, RedSquares(), stride_ms=0), images)
    without = [i for i in range(30, 39) if steps[i].crops]
    assert without == list(range(30, 34))  # last seen in frame 27, held for 240 ms
    assert all([t.id for t in step.tracks] == [1] for step in steps[3:])  # the track lives on
    assert [t.unseen_ms for t in steps[38].tracks] == [11 * 40]
    resumed = next(i for i in range(34, 69) if steps[i].crops)
    assert resumed == 39
    late = [clip for clip in clips_of(steps) if clip.times_ms[-1] > 33 * 40]
    assert late and min(clip.times_ms[0] for clip in late) == resumed * 40


def test_a_face_gone_for_good_ends_its_track_once() -> None:
    images = [picture([(100, 80, 64)])] * 24 + [picture([])] * 24
    steps = run(FaceClipper(SPEC, RedSquares()), images)
    assert [step.ended for step in steps if step.ended] == [(1,)]
    assert steps[-1].tracks == ()
    (end,) = [i for i, step in enumerate(steps) if step.ended]
    assert end == 34  # seen last in frame 21; 500 ms later is between 33 and 34


def test_one_missed_detection_costs_no_clip() -> None:
    images = [picture([(100, 80, 64)])] * 30
    images[12] = picture([])  # a frame on which the detector runs
    steps = run(FaceClipper(SPEC, RedSquares()), images)
    assert all(step.crops for step in steps[3:])
    assert steps[12].tracks[0].missed == 1
    assert len(clips_of(steps)) == 3


def test_a_single_false_positive_makes_no_track() -> None:
    images = [picture([(100, 80, 64)])] * 30
    images[9] = picture([(100, 80, 64), (220, 20, 50)])
    steps = run(FaceClipper(SPEC, RedSquares()), images)
    assert {track.id for step in steps for track in step.tracks} == {1}


def test_a_cut_ends_tracks_and_no_clip_spans_it() -> None:
    images = [picture([(100, 80, 64)])] * 20 + [picture([(100, 80, 64)], seed=1)] * 20
    steps = run(FaceClipper(SPEC, RedSquares(), stride_ms=0), images)
    assert [i for i, step in enumerate(steps) if step.cut] == [20]
    assert steps[20].ended == (1,) and steps[20].detected
    assert {t.id for step in steps[:20] for t in step.tracks} == {1}
    assert {t.id for step in steps[20:] for t in step.tracks} == {2}
    for clip in clips_of(steps):
        assert clip.times_ms[-1] < 800 or clip.times_ms[0] >= 800


def test_another_size_and_a_clock_that_starts_again_are_new_scenes() -> None:
    clipper = FaceClipper(SPEC, RedSquares())
    image = picture([(100, 80, 64)])
    run(clipper, [image] * 10)
    larger = cv2.resize(image, (640, 480), interpolation=cv2.INTER_NEAREST)
    step = clipper.push(Frame(larger, 400, 10))
    assert step.cut and step.ended == (1,)
    for i in range(1, 10):
        clipper.push(Frame(larger, 400 + 40 * i, 10 + i))
    step = clipper.push(Frame(larger, 0, 0))
    assert step.cut and step.ended == (2,) and step.detected
    steps = [clipper.push(Frame(larger, 40.0 * i, i)) for i in range(1, 15)]
    assert len(clips_of(steps)) == 1 and steps[-1].tracks[0].id == 3


def test_the_same_moment_twice_is_passed_over() -> None:
    clipper = FaceClipper(SPEC, RedSquares())
    steps = []
    for i in range(20):
        frame = Frame(picture([(100, 80, 64)]), 40.0 * i, i)
        steps += [clipper.push(frame), clipper.push(frame)]
    assert all(not step.crops and not step.clips for step in steps[1::2])
    assert [t.id for t in steps[-1].tracks] == [1]
    assert len(clips_of(steps)) == 2


def test_several_faces_each_have_their_clips() -> None:
    images = [picture([(40 + i, 60, 60), (200 - i, 150, 70)]) for i in range(30)]
    clips = clips_of(run(FaceClipper(SPEC, RedSquares()), images))
    assert sorted(clip.track_id for clip in clips) == [1, 1, 1, 2, 2, 2]


def test_small_and_dark_faces_are_marked() -> None:
    images = [picture([(40, 60, 40), (200, 150, 60)])] * 6
    steps = run(FaceClipper(SPEC, RedSquares(), min_face=48), images)
    assert {t.box[2]: t.quality for t in steps[-1].tracks} == {40.0: "small", 60.0: "ok"}

    class Fixed:
        name = "fixed"

        def detect(self, image_rgb: np.ndarray) -> list[Face]:
            return [Face((100.0, 80.0, 64.0, 64.0), 1.0)]

    steps = run(FaceClipper(SPEC, Fixed()), [np.full((240, 320, 3), 8, np.uint8)] * 6)
    assert [t.quality for t in steps[-1].tracks] == ["dark"]


def test_rates_and_reasons() -> None:
    image = picture([(100, 80, 64)])
    for fps, has_clips in ((24, True), (30, True), (60, True), (15, False), (12, False)):
        clipper = FaceClipper(SPEC, RedSquares())
        steps = run(clipper, [image] * (2 * fps), period=1000 / fps)
        assert bool(clips_of(steps)) == has_clips
        if not has_clips:
            assert f"({fps:.1f} fps)" in clipper.reason(1)


def test_clips_of_a_slow_and_a_fast_camera_have_one_tempo() -> None:
    for fps in (24, 25, 30, 50, 60):
        steps = run(FaceClipper(SPEC, RedSquares()), [picture([(100, 80, 64)])] * 90, 1000 / fps)
        for clip in clips_of(steps):
            moments = clip.times_ms[-1] - 40.0 * np.arange(7, -1, -1)
            assert np.abs(clip.times_ms - moments).max() <= 20


def test_same_frames_same_clips() -> None:
    images = [picture([(60 + 2 * i, 80 + i, 64)]) for i in range(40)]
    first, second = (clips_of(run(FaceClipper(SPEC, RedSquares()), images)) for _ in range(2))
    assert len(first) == len(second) > 3
    for a, b in zip(first, second, strict=True):
        assert np.array_equal(a.frames, b.frames) and np.array_equal(a.times_ms, b.times_ms)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="detect_every"):
        FaceClipper(SPEC, RedSquares(), detect_every=0)
    with pytest.raises(ValueError, match="stride_ms"):
        FaceClipper(SPEC, RedSquares(), stride_ms=-5)


def test_a_drawn_video_from_file_to_clips(
    tmp_path: Path, write_mp4: Callable[..., Path], draw_face: Callable[..., np.ndarray], haar: str
) -> None:
    pytest.importorskip("av")
    from keras_ddl.edge.video import read_video

    images = [draw_face(picture([]), 140 + i, 120 + i // 2, 90) for i in range(30)]
    clipper = FaceClipper(SPEC, HaarDetector())
    path = write_mp4(tmp_path / "face.mp4", images)
    steps = [clipper.push(frame) for frame in read_video(path)]
    assert [clip.track_id for clip in clips_of(steps)] == [1, 1, 1]
    assert all(list(step.crops) == [1] for step in steps[3:])


def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(w, 0) * max(h, 0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


@pytest.mark.real
@pytest.mark.parametrize("name", ["haar", "yunet"])
def test_the_real_pair_is_one_stable_track(
    shared_real: Path, name: str, request: pytest.FixtureRequest
) -> None:
    """A real video and its fake, frame by frame: same track, nearly the same boxes."""
    if name == "haar":
        request.getfixturevalue("haar")
    pytest.importorskip("av")
    from keras_ddl.edge.video import read_video

    boxes = []
    for file in ("ffpp_youtube_519.mp4", "ffpp_deepfakes_519_515.mp4"):
        model = shared_real / "face_detection_yunet_2023mar.onnx"
        clipper = FaceClipper(SPEC, HaarDetector() if name == "haar" else YuNetDetector(model))
        steps = []
        for frame in read_video(shared_real / file):
            if frame.index >= 80:
                break
            steps.append(clipper.push(frame))
        assert all([track.id for track in step.tracks] == [1] for step in steps[3:])
        assert all(list(step.crops) == [1] for step in steps[3:])
        assert all(track.quality == "ok" for step in steps for track in step.tracks)
        assert len(clips_of(steps)) == 9  # 77 frames, eight a clip
        boxes.append([step.tracks[0].box for step in steps[3:]])
    assert np.mean([overlap(a, b) for a, b in zip(*boxes, strict=True)]) > 0.9
    sides = np.array(boxes)[..., 2]
    assert 80 < sides.min() and sides.max() < 105
    moves = np.abs(np.diff(np.array(boxes)[..., :2] + sides[..., None] / 2, axis=1))
    assert moves.mean() < 0.02 * 92  # a crop of 256 px moves by less than 4 px a frame


def test_a_picture_that_is_shown_twice_is_one_frame_for_a_model_of_one_interval_too() -> None:
    moving = [picture([(20 + 3 * number, 80, 64)]) for number in range(40)]
    once = run(FaceClipper(SPEC, RedSquares()), moving)
    assert len(clips_of(once)) == 4
    clipper = FaceClipper(SPEC, RedSquares())
    twice = run(clipper, [image for image in moving for _ in range(2)])
    assert len(clips_of(twice)) <= 1  # of the frames before the rhythm is known
    assert clipper.reason(1) == (
        "frames come every 80 ms (12.5 fps); a clip needs one at least every 42.9 ms (23.3 fps); "
        "repeated frames (1 of every 2) are counted once"
    )

"""The tracker on constructed faces: who is who, and how steady the boxes are."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from keras_ddl.edge.faces.face import Face
from keras_ddl.edge.faces.track import Track, Tracker


def face(x: float, y: float, side: float = 80.0, score: float = 0.9) -> Face:
    """A face by its centre."""
    return Face((x - side / 2, y - side / 2, side, side), score)


def centre(track: Track) -> tuple[float, float]:
    x, y, w, h = track.box
    return (x + w / 2, y + h / 2)


def test_one_detection_makes_no_track_and_two_do() -> None:
    tracker = Tracker()
    assert tracker.update(0, [face(100, 100)]) == []
    assert tracker.predict(40) == []
    (track,) = tracker.update(80, [face(100, 100)])
    assert (track.id, track.hits, track.missed, track.unseen_ms) == (1, 2, 0, 0)
    assert track.box == (60, 60, 80, 80)


def test_single_false_positives_never_make_a_track() -> None:
    tracker = Tracker()
    generator = np.random.default_rng(1)
    seen = set()
    for step in range(60):
        faces = [face(100, 100)]
        if step % 2:  # somewhere else each time, and never twice running
            faces.append(face(*generator.uniform(250, 1500, 2), 60))
        seen |= {track.id for track in tracker.update(step * 120, faces)}
    assert seen == {1}


def test_misses_are_survived_up_to_the_gap_and_ids_not_reused() -> None:
    tracker = Tracker(max_gap_ms=500)
    for time in (0, 100, 200):
        tracker.update(time, [face(100, 100)])
    (track,) = tracker.update(300, [])
    assert (track.missed, track.unseen_ms) == (1, 100)
    (track,) = tracker.update(400, [face(104, 100)])
    assert (track.id, track.missed, track.hits) == (1, 0, 4)
    for time in (500, 600, 700):
        (track,) = tracker.update(time, [])
    assert (track.missed, track.unseen_ms) == (3, 300)
    assert [t.id for t in tracker.predict(900)] == [1]  # 500 ms: still alive
    assert tracker.predict(901) == []
    tracker.update(1000, [face(104, 100)])
    assert [t.id for t in tracker.update(1100, [face(104, 100)])] == [2]


def test_a_young_track_ends_after_as_many_misses_as_hits() -> None:
    tracker = Tracker(max_gap_ms=5000)
    tracker.update(0, [face(100, 100)])
    tracker.update(100, [face(100, 100)])
    assert len(tracker.update(200, [])) == 1
    assert tracker.update(300, []) == []


def test_a_long_jump_of_time_ends_tracks_even_where_the_face_is_back() -> None:
    tracker = Tracker(max_gap_ms=500)
    for time in (0, 100):
        tracker.update(time, [face(100, 100)])
    assert tracker.update(5000, [face(100, 100)]) == []


def test_reset_ends_tracks_and_takes_any_time() -> None:
    tracker = Tracker()
    for time in (1000, 1100):
        tracker.update(time, [face(100, 100)])
    tracker.reset()
    assert tracker.predict(5) == []
    tracker.update(10, [face(100, 100)])
    assert [t.id for t in tracker.update(20, [face(100, 100)])] == [2]


def scene(step: int) -> list[Face]:
    """Four faces that move, one of them flickering."""
    t = step / 10
    faces = [
        face(100 + 30 * math.sin(t), 100, 60, 0.8),
        face(300 + 50 * t, 120, 80, 0.9),
        face(300, 400 + 20 * math.cos(t), 100, 0.7),
    ]
    return faces + ([face(600, 400, 90, 0.6)] if step % 5 else [])


def test_same_input_same_output_and_order_within_a_frame_does_not_matter() -> None:
    trackers = [Tracker() for _ in range(3)]
    for step in range(40):
        faces = scene(step)
        shuffled = [faces[i] for i in np.random.default_rng(step).permutation(len(faces))]
        results = [
            tracker.update(step * 100, given)
            for tracker, given in zip(trackers, (faces, faces, shuffled), strict=True)
        ]
        assert results[0] == results[1] == results[2]
    assert len(results[0]) == 4
    assert [track.id for track in results[0]] == sorted(track.id for track in results[0])


def test_every_order_of_three_close_faces_gives_the_same_tracks() -> None:
    faces = [face(100, 100), face(170, 100), face(135, 160)]
    moved = [face(120, 100), face(190, 100), face(155, 160)]
    outcomes = set()
    for order in itertools.permutations(range(3)):
        tracker = Tracker()
        tracker.update(0, faces)
        outcomes.add(tuple(tracker.update(100, [moved[i] for i in order])))
    assert len(outcomes) == 1


@pytest.mark.parametrize("offset", [0.0, 10.0, 40.0])
def test_two_crossing_faces_keep_their_ids(offset: float) -> None:
    """They meet at step 10, exactly or a little above each other, 10 px a step."""
    tracker = Tracker()
    for step in range(21):
        left_to_right = face(200 + 10 * step, 200)
        right_to_left = face(401 - 10 * step, 200 + offset)
        tracks = tracker.update(step * 100, [left_to_right, right_to_left])
        if step == 1:
            first = min(tracks, key=lambda t: t.box[0]).id
    assert len(tracks) == 2
    assert {track.id for track in tracks} == {1, 2}
    assert max(tracks, key=lambda t: t.box[0]).id == first


def test_a_face_twice_found_is_one_track() -> None:
    tracker = Tracker()
    for step in range(5):
        tracks = tracker.update(step * 100, [face(100, 100), face(106, 103, 84, 0.5)])
    assert len(tracks) == 1


def test_another_face_does_not_take_a_track_over() -> None:
    tracker = Tracker()
    for time in (0, 100):
        tracker.update(time, [face(100, 100)])
    tracks = tracker.update(200, [face(300, 100)])  # too far
    assert centre(tracks[0]) == (100, 100) and tracks[0].missed == 1
    tracker.reset()
    for time in (0, 100):
        tracker.update(time, [face(100, 100)])
    (track,) = tracker.update(200, [face(100, 100, 200)])  # too large
    assert track.missed == 1


def test_jitter_gets_smaller() -> None:
    generator = np.random.default_rng(0)
    noise = generator.normal(0, 3, (300, 3))
    tracker = Tracker(smoothing=0.6)
    boxes, raw = [], []
    for step, (dx, dy, ds) in enumerate(noise):
        found = face(200 + dx, 200 + dy, 80 + ds)
        tracks = tracker.update(step * 40, [found])
        if tracks:
            x, y, w, h = tracks[0].box
            assert w == h
            boxes.append((x + w / 2, y + h / 2, w))
            raw.append((200 + dx, 200 + dy, 80 + ds))
    ratio = np.var(boxes[20:], axis=0) / np.var(raw[20:], axis=0)
    # An exponential average with weight a keeps (1 − a)/(1 + a) of white noise's variance.
    side = math.sqrt(0.6)
    assert ratio[:2] == pytest.approx([0.25, 0.25], rel=0.25)
    assert ratio[2] == pytest.approx((1 - side) / (1 + side), rel=0.35)
    steps = np.var(np.diff(boxes, axis=0)) / np.var(np.diff(raw, axis=0))
    assert steps < 0.12


def test_the_box_approaches_a_new_place_by_time_not_by_calls() -> None:
    """After 120 ms the past weighs 0.6³, whether one call went by or six."""
    for period in (20, 40, 120):
        tracker = Tracker(smoothing=0.6)
        tracker.update(0, [face(100, 100)])
        tracker.update(1, [face(100, 100)])
        tracker.update(1.000001, [face(140, 100)])
        for time in range(period, 121, period):
            tracks = tracker.predict(1.000001 + time)
        expected = 140 - 40 * 0.6**3
        assert centre(tracks[0])[0] == pytest.approx(expected, abs=1e-4)


def test_detecting_every_third_frame_makes_no_jump_every_third_frame() -> None:
    generator = np.random.default_rng(3)
    tracker = Tracker(smoothing=0.6)
    path = []
    for step in range(300):
        if step % 3 == 0:
            tracks = tracker.update(step * 40, [face(200 + generator.normal(0, 4), 200)])
        else:
            tracks = tracker.predict(step * 40)
        path += [centre(tracks[0])[0]] if tracks else []
    moves = np.abs(np.diff(path))[30:]
    largest_share = max(moves[phase::3].sum() for phase in range(3)) / moves.sum()
    assert largest_share < 0.65  # all of it, if the box jumped when a detection comes


def test_without_smoothing_the_box_is_the_detection() -> None:
    tracker = Tracker(smoothing=0.0)
    tracker.update(0, [face(100, 100)])
    (track,) = tracker.update(40, [face(117, 93, 70)])
    assert track.box == pytest.approx((82, 58, 70, 70))


def test_wrong_use_is_an_error() -> None:
    tracker = Tracker()
    tracker.update(100, [])
    for call in (lambda: tracker.update(100, []), lambda: tracker.predict(99)):
        with pytest.raises(ValueError, match="later than 100"):
            call()
    for bad in ({"smoothing": 1.0}, {"max_gap_ms": 0}):
        with pytest.raises(ValueError, match="Tracker"):
            Tracker(**bad)  # type: ignore[arg-type]

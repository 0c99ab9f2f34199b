"""`synthetic://`: faces that real detectors find, repeatable, and nearly free."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from deploy.sources import State, open_source
from deploy.sources.synthetic import (
    FIRST_PERSON,
    LOOP_BYTES,
    Scene,
    SyntheticConnection,
    draw_loop,
    synthetic_plan,
)
from keras_ddl.edge.errors import UserError

pytest.importorskip("cv2")


@pytest.mark.parametrize(
    ("query", "faces"),
    [
        ("", 1),
        ("seed=1", 1),
        ("seed=2&fake=1", 1),
        ("size=320x240", 1),
        ("faces=3&size=320x240", 3),
        ("faces=8&seed=5", 8),
        ("faces=0", 0),
    ],
)
def test_a_real_detector_finds_every_face(query: str, faces: int, haar: str) -> None:
    from keras_ddl.edge.faces.detect import HaarDetector

    frames = list(open_source(f"synthetic://?live=0&seconds=2&{query}"))
    detector = HaarDetector()
    found = [len(detector.detect(frame.image)) for frame in frames[::7]]
    assert len(found) == 8 and found.count(faces) >= 7


def test_the_recorded_kind_gives_every_frame_at_its_time_and_repeats_to_the_bit() -> None:
    text = "synthetic://?live=0&seconds=3&fps=20&size=160x120"
    source = open_source(text)
    frames = list(source)
    assert (source.live, source.fps, source.length, len(frames)) == (False, 20.0, 60, 60)
    assert [frame.time_ms for frame in frames] == [50.0 * i for i in range(60)]
    assert frames[0].image.shape == (120, 160, 3)
    draw_loop.cache_clear()
    again = list(open_source(text))
    other = list(open_source(f"{text}&seed=1"))
    assert all((a.image == b.image).all() for a, b in zip(frames, again, strict=True))
    assert not any((a.image == b.image).all() for a, b in zip(frames, other, strict=True))


def test_the_live_kind_comes_at_its_pace_and_ends() -> None:
    source = open_source("synthetic://?seconds=0.4&size=160x120")
    assert source.live
    frames = list(source)
    np.testing.assert_allclose(np.diff([frame.time_ms for frame in frames]), 40.0, atol=1e-6)
    assert (len(frames), source.health.state, source.dropped) == (10, State.ENDED, 0)


def test_the_live_kind_is_endless_by_default_and_can_be_left() -> None:
    connection = SyntheticConnection(synthetic_plan("synthetic://?size=160x120"))
    shots = list(islice(connection.shots(str), 120))  # the loop has 50 pictures
    assert [shot.pts_ms for shot in shots] == [40.0 * i for i in range(120)]
    assert shots[110].image is shots[10].image
    with open_source("synthetic://?size=160x120") as source:
        for frame in source:
            if frame.index == 3:
                source.interrupt()
    assert (frame.index, source.health.state) == (3, State.STOPPED)


def test_pictures_never_stand_still_and_are_shared_by_sources_of_one_kind() -> None:
    loop = draw_loop(Scene(size=(160, 120)))
    assert len(loop) == 50
    for a, b in zip(loop, (*loop[1:], loop[0]), strict=True):
        assert (a != b).mean() > 0.5  # noise
        assert abs(a.astype(int) - b).mean() < 8.0  # smooth, also over the seam
    assert draw_loop(Scene(size=(160, 120))) is loop
    assert not loop[0].flags.writeable
    large = draw_loop(Scene(size=(1920, 1080)))
    assert 8 <= len(large) and len({id(picture) for picture in large}) == len(large) // 2 + 1
    assert sum({id(picture): picture.nbytes for picture in large}.values()) <= LOOP_BYTES


def test_a_fake_is_its_real_twin_but_for_what_is_redrawn_in_the_face() -> None:
    real, fake, hard = (
        np.stack(draw_loop(Scene(size=(320, 240), seed=4, **how))).astype(np.float32)
        for how in ({}, {"fake": True}, {"fake": True, "difficulty": 1.0})
    )

    def unlike(other: np.ndarray, rows: slice, columns: slice) -> float:
        """Mean difference of 16 x 16 pixels' mean colour: sensor noise is gone."""
        part = (other - real)[:, rows, columns]
        blocks = part.reshape(len(part), -1, 16, part.shape[2] // 16, 16, 3)
        return float(np.abs(blocks.mean(axis=(2, 4))).mean())

    face, wall = (slice(96, 144), slice(136, 184)), (slice(0, 48), slice(0, 48))
    assert unlike(fake, *wall) < 0.5
    assert unlike(fake, *face) > 6.0 * unlike(fake, *wall)
    assert unlike(fake, *face) > 2.0 * unlike(hard, *face)


def test_people_are_strangers_to_every_generated_set() -> None:
    from keras_ddl.data.synthetic.dataset import DEFAULT_IDENTITIES

    assert 100 * sum(DEFAULT_IDENTITIES.values()) < FIRST_PERSON


@pytest.mark.parametrize("text", ["1.5", "-0.5", "nan", "x", "1e-3"])
def test_a_difficulty_is_a_share(text: str) -> None:
    with pytest.raises(UserError, match="difficulty: expected a number from 0 to 1"):
        synthetic_plan(f"synthetic://?difficulty={text}")
    assert synthetic_plan("synthetic://?difficulty=0.25").scene.difficulty == 0.25

"""Which clips of a track are taken."""

from __future__ import annotations

import numpy as np

from keras_ddl.data.sampling import ClipSampler
from keras_ddl.edge.clips import Clip


def _clip(track: int, start: float) -> Clip:
    return Clip(np.zeros((4, 1, 1, 3), np.uint8), start + 40.0 * np.arange(4), track)


def same(clip: Clip) -> Clip:
    return clip


def test_sampler_takes_one_clip_from_each_equal_part() -> None:
    sampler = ClipSampler(2, same)
    for start in range(6):  # halves 0 1 2 | 3 4 5: the middle of each
        sampler.push([1], [_clip(1, start)])
    assert [clip.times_ms[0] for clip in sampler.clips()] == [1, 4]


def test_sampler_stays_even_and_bounded_over_a_long_video() -> None:
    sampler = ClipSampler(4, same)
    for start in range(10_000):
        sampler.push([1], [_clip(1, start)])
    starts = [clip.times_ms[0] for clip in sampler.clips()]
    assert len(starts) == 4
    for part, start in enumerate(starts):
        assert part * 2500 <= start < (part + 1) * 2500


def test_sampler_follows_the_longest_track() -> None:
    sampler = ClipSampler(3, same)
    for start in range(3):
        sampler.push([1], [_clip(1, start)])
    for start in range(3, 10):
        sampler.push([2], [_clip(2, start)])
    assert sampler.longest == 2
    assert sampler.tracks() == (1, 2)  # 3 of 7 frames are enough
    assert {clip.track_id for clip in sampler.clips()} == {2}
    empty = ClipSampler(3, same)
    assert empty.longest is None and empty.clips() == ()

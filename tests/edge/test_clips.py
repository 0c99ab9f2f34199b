"""The rule by time: whatever the frame rate, a clip has one tempo, or there is none."""

from __future__ import annotations

import re

import numpy as np
import pytest

from keras_ddl.edge.clips import (
    Clip,
    ClipBuffer,
    interval,
    longest_period_ms,
    select,
    why_no_clip,
)
from keras_ddl.edge.clipspec import ClipSpec

SPEC = ClipSpec(frames=8, interval_ms=40.0, size=32)
RANGE = SPEC.replace(interval_ms=33.0, longest_interval_ms=100.0)


def steady(fps: float, seconds: float = 2.0) -> np.ndarray:
    return np.arange(int(seconds * fps)) * 1000 / fps


def push_all(buffer: ClipBuffer, times: np.ndarray, track: int = 1) -> list[Clip]:
    """Push crops whose pixel value is the frame's number."""
    clips = []
    for number, time in enumerate(times):
        crop = np.full((32, 32, 3), number % 256, np.uint8)
        clip = buffer.push(track, float(time), crop)
        if clip is not None:
            clips.append(clip)
    return clips


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (25.0, [0, 1, 2, 3, 4, 5, 6, 7]),  # the frames are the moments
        (50.0, [0, 2, 4, 6, 8, 10, 12, 14]),  # every second frame
        (100.0, [0, 4, 8, 12, 16, 20, 24, 28]),
        (30.0, [0, 1, 2, 4, 5, 6, 7, 8]),  # moments 0 40 80 120 160 …: 33⅓ 66⅔ 133⅓ 166⅔ 200 …
        (29.97, [0, 1, 2, 4, 5, 6, 7, 8]),
        (24.0, [0, 1, 2, 3, 4, 5, 6, 7]),  # 41.7 ms: late by 11.7 ms at the last
        (75.0, [0, 3, 6, 9, 12, 15, 18, 21]),
    ],
)
def test_select_takes_the_nearest_frame(fps: float, expected: list[int]) -> None:
    indices = select(steady(fps), 0.0, SPEC)
    assert indices is not None
    assert indices.tolist() == expected


@pytest.mark.parametrize("fps", [23.0, 20.0, 15.0, 12.0, 5.0])
def test_select_refuses_rates_below_the_limit(fps: float) -> None:
    for start in steady(fps)[:20]:
        assert select(steady(fps), float(start), SPEC) is None


def test_limit_is_where_the_last_frame_is_half_an_interval_late() -> None:
    period = longest_period_ms(SPEC)
    assert period == pytest.approx(40 + 20 / 7)
    assert select(np.arange(8) * period, 0.0, SPEC) is not None
    assert select(np.arange(8) * (period + 0.01), 0.0, SPEC) is None


def test_variable_rate_by_hand() -> None:
    times = np.array([0, 35, 78, 100, 125, 161, 199, 236, 255, 279, 310.0])
    indices = select(times, 0.0, SPEC)  # moments 0 40 80 120 160 200 240 280
    assert indices is not None
    assert indices.tolist() == [0, 1, 2, 4, 5, 6, 7, 9]


def test_a_gap_gives_none_and_so_does_a_frame_that_would_serve_twice() -> None:
    times = np.delete(steady(25), [3])
    assert select(times, 0.0, SPEC) is None  # 120 ms is 40 ms from its neighbours
    assert select(times, 160.0, SPEC) is not None  # after the gap
    squeezed = np.array([0, 40, 80, 139, 179, 219, 259, 299.0])
    assert select(squeezed, 0.0, SPEC) is not None  # each within 20 ms of its moment
    doubled = np.array([0, 40, 100, 101, 102, 160, 200, 240, 280.0])
    assert select(doubled, 0.0, SPEC) is not None  # 80 → 100 and 120 → 102
    assert select(np.delete(doubled, [3, 4]), 0.0, SPEC) is None  # 80 and 120 both → 100


def test_select_of_nothing_before_the_start_and_after_the_end() -> None:
    assert select(np.empty(0), 0.0, SPEC) is None
    assert select(steady(25)[:7], 0.0, SPEC) is None
    assert select(steady(25), -21.0, SPEC) is None
    assert select(steady(25), 1960 - 280.0, SPEC) is not None  # the last eight
    assert select(steady(25), 1960 - 259.0, SPEC) is None


@pytest.mark.parametrize("times", [[0, 40, 40, 80], [0, 40, 20], [[0, 40]], [0, np.nan, 80]])
def test_times_that_do_not_increase_are_an_error(times: list[float]) -> None:
    with pytest.raises(ValueError, match="strictly increasing"):
        select(np.array(times, float), 0.0, SPEC)


@pytest.mark.parametrize("fps", [24.0, 25.0, 29.97, 30.0, 50.0, 59.94, 120.0])
def test_live_equals_offline_and_clips_share_no_frame(fps: float) -> None:
    times = steady(fps, 4.0) + 1234.5
    clips = push_all(ClipBuffer(SPEC), times)
    assert len(clips) >= 10
    used: list[int] = []
    for clip in clips:
        offline = select(times, float(clip.times_ms[-1]) - SPEC.span_ms, SPEC)
        assert offline is not None
        assert np.array_equal(times[offline], clip.times_ms)
        assert clip.frames[:, 0, 0, 0].tolist() == (offline % 256).tolist()
        used += offline.tolist()
    assert len(used) == len(set(used))
    assert used == sorted(used)


def test_live_equals_offline_on_a_jittering_clock_with_gaps() -> None:
    generator = np.random.default_rng(5)
    steps = generator.uniform(15, 45, 600)
    steps[generator.choice(600, 12, replace=False)] += 300
    times = np.cumsum(steps)
    clips = push_all(ClipBuffer(SPEC, stride_ms=0), times)
    by_end = {clip.times_ms[-1]: clip for clip in clips}
    complete = 0
    for end in times:
        offline = select(times, end - SPEC.span_ms, SPEC)
        assert (offline is not None) == (end in by_end)
        if offline is not None:
            complete += 1
            assert np.array_equal(by_end[end].times_ms, times[offline])
    assert 100 < complete < 590


def test_25_fps_gives_clips_that_follow_each_other() -> None:
    clips = push_all(ClipBuffer(SPEC), steady(25, 1.0))
    assert [clip.frames[:, 0, 0, 0].tolist() for clip in clips] == [
        list(range(0, 8)),
        list(range(8, 16)),
        list(range(16, 24)),
    ]
    assert clips[0].frames.shape == (8, 32, 32, 3)
    assert clips[0].frames.dtype == np.uint8
    assert clips[0].times_ms.dtype == np.float64


@pytest.mark.parametrize(
    ("stride", "ends"),
    [
        (0.0, list(range(280, 1000, 40))),  # every frame
        (120.0, list(range(280, 1000, 120))),
        (280.0, [280, 560, 840]),  # neighbours share one frame
        (None, [280, 600, 920]),
        (500.0, [280, 800]),  # 500 falls between frames: the next one
    ],
)
def test_stride(stride: float | None, ends: list[int]) -> None:
    clips = push_all(ClipBuffer(SPEC, stride), steady(25, 1.0))
    assert [round(clip.times_ms[-1]) for clip in clips] == ends


def test_a_jittering_clock_does_not_skip_a_clip() -> None:
    times = steady(25, 1.0)
    times[15] -= 5  # the second clip is due at 600 ms; it comes at 595
    clips = push_all(ClipBuffer(SPEC), times)
    assert [round(clip.times_ms[-1]) for clip in clips] == [280, 595, 920]


def test_no_clip_spans_a_gap() -> None:
    times = np.concatenate([steady(25, 0.4), steady(25, 0.4) + 500])
    clips = push_all(ClipBuffer(SPEC, stride_ms=0), times)
    assert all(np.diff(clip.times_ms).max() < 60 for clip in clips)
    assert [round(clip.times_ms[-1]) for clip in clips] == [280, 320, 360, 780, 820, 860]


@pytest.mark.parametrize("fps", [12.0, 15.0, 20.0])
def test_slow_source_never_gives_a_clip_and_says_why(fps: float) -> None:
    buffer = ClipBuffer(SPEC, stride_ms=0)
    assert push_all(buffer, steady(fps, 4.0)) == []
    assert f"({fps:.1f} fps)" in buffer.reason(1)
    assert "23.3 fps" in buffer.reason(1)


@pytest.mark.parametrize("fps", [5.0, 8.0])
def test_a_rate_so_low_that_few_frames_are_kept_is_named_all_the_same(fps: float) -> None:
    buffer = ClipBuffer(SPEC)
    assert push_all(buffer, steady(fps, 4.0)) == []
    assert buffer.reason(1).startswith(f"frames come every {1000 / fps:.0f} ms ({fps:.1f} fps); a")


def test_frames_left_out_again_and_again_are_a_rate_and_not_a_gap() -> None:
    buffer = ClipBuffer(SPEC, stride_ms=0)
    times = np.delete(steady(25, 4.0), np.arange(0, 100, 6))
    assert push_all(buffer, times) == []
    rate = r"frames come every 48 ms \(20\.[78] fps\), unevenly; a clip needs one at least every 42"
    assert re.match(rate, buffer.reason(1))


def test_a_clip_with_one_damaged_frame_is_damaged() -> None:
    buffer = ClipBuffer(SPEC)
    crop = np.zeros((32, 32, 3), np.uint8)
    clips = [buffer.push(1, 40.0 * number, crop, number in (8, 15)) for number in range(32)]
    assert [clip.damaged for clip in clips if clip is not None] == [False, True, False, False]
    buffer = ClipBuffer(SPEC, stride_ms=0)  # where crops are let go one by one
    ends = [n for n in range(40) if (c := buffer.push(1, 40.0 * n, crop, n == 20)) and c.damaged]
    assert ends == list(range(20, 28))


def test_reasons() -> None:
    assert why_no_clip(steady(25)[:8], SPEC) == ""
    assert "80 of 280 ms" in why_no_clip(steady(25)[:3], SPEC)
    assert "0 of 280 ms" in why_no_clip(np.array([5.0]), SPEC)
    assert "0 of 280 ms" in why_no_clip(np.empty(0), SPEC)
    gap = np.array([0, 40, 80, 240, 280, 320, 360.0])
    assert "gap of 160 ms after 80 ms" in why_no_clip(gap, SPEC)
    assert "no crops" in ClipBuffer(SPEC).reason(7)


def test_tracks_do_not_mix() -> None:
    buffer = ClipBuffer(SPEC)
    clips = []
    for number, time in enumerate(steady(25, 0.4)):
        for track in (1, 2):
            crop = np.full((32, 32, 3), 100 * track + number, np.uint8)
            clips.append(buffer.push(track, float(time), crop))
    done = [clip for clip in clips if clip is not None]
    assert [clip.track_id for clip in done] == [1, 2]
    assert [clip.frames[0, 0, 0, 0] for clip in done] == [100, 200]


def test_drop_forgets_a_track() -> None:
    buffer = ClipBuffer(SPEC)
    times = steady(25, 1.0)
    push_all(buffer, times[:5])
    buffer.drop(1)
    buffer.drop(99)
    assert len(buffer) == 0
    assert [round(c.times_ms[-1]) for c in push_all(buffer, times[5:])] == [480, 800]


def test_memory_is_bounded_by_time() -> None:
    buffer = ClipBuffer(SPEC, stride_ms=1000)
    longest = 0
    for number, time in enumerate(steady(100, 20.0)):
        # A new track every second, and never a drop.
        buffer.push(number // 100, float(time), np.zeros((32, 32, 3), np.uint8))
        longest = max(longest, len(buffer))
    assert longest <= 2 * 100 + 2  # a silent track is let go after a stride, each holds 31
    steady_buffer = ClipBuffer(SPEC)
    push_all(steady_buffer, steady(25, 60.0))
    assert len(steady_buffer) <= 9


def test_wrong_use_is_an_error() -> None:
    buffer = ClipBuffer(SPEC)
    crop = np.zeros((32, 32, 3), np.uint8)
    buffer.push(1, 100.0, crop)
    with pytest.raises(ValueError, match="later than 100"):
        buffer.push(1, 100.0, crop)
    with pytest.raises(ValueError, match="crop"):
        buffer.push(1, 140.0, crop[:16])
    with pytest.raises(ValueError, match="crop"):
        buffer.push(1, 140.0, crop.astype(np.float32))
    with pytest.raises(ValueError, match="stride_ms"):
        ClipBuffer(SPEC, stride_ms=-1)


# A range of intervals


@pytest.mark.parametrize(
    ("fps", "step"),  # every n-th frame
    [
        (60.0, 2),
        (59.94, 2),
        (50.0, 2),
        (30.0, 1),
        (29.97, 1),
        (25.0, 1),
        (24.0, 1),
        (20.0, 1),
        (15.0, 1),
        (12.0, 1),
        (10.0, 1),
    ],
)
def test_a_range_serves_every_rate_with_evenly_spaced_frames(fps: float, step: int) -> None:
    clips = push_all(ClipBuffer(RANGE), steady(fps, 4.0))
    assert len(clips) >= 3
    for clip in clips[1:]:  # the first may begin half an interval before the source does
        np.testing.assert_allclose(np.diff(clip.times_ms), step * 1000 / fps)
        numbers = clip.frames[:, 0, 0, 0].astype(int)
        assert set(np.diff(numbers) % 256) == {step}
    gaps = np.diff([clip.times_ms[-1] for clip in clips])
    np.testing.assert_allclose(gaps, 8 * step * 1000 / fps, atol=step * 500 / fps)


@pytest.mark.parametrize("fps", [9.0, 5.0])
def test_below_the_range_there_is_none_and_the_reason_names_the_rate(fps: float) -> None:
    times = steady(fps, 6.0)
    buffer = ClipBuffer(RANGE)
    assert push_all(buffer, times) == []
    reason = buffer.reason(1)
    assert reason.startswith(f"frames come every {1000 / fps:.0f} ms ({fps:.1f} fps)")
    assert "at least every 107.1 ms (9.3 fps)" in reason


@pytest.mark.parametrize(("fps", "tempos"), [(30, [1, 2, 3]), (25, [1, 2]), (50, [2, 3, 4, 5])])
@pytest.mark.parametrize("every", [1, 2, 3, 4])
def test_clips_to_learn_from_take_every_tempo(fps: int, tempos: list[int], every: int) -> None:
    clips = push_all(ClipBuffer(RANGE, stride_ms=100.0, varied=True), steady(fps, 40.0))[::every]
    steps = [round(float(np.diff(clip.times_ms).mean() * fps / 1000)) for clip in clips]
    counts = [steps.count(tempo) for tempo in tempos]
    assert sum(counts) == len(steps) and min(counts) > 0.6 * max(counts)


def test_an_interval_is_that_of_the_newest_frames() -> None:
    times = np.concatenate([steady(15, 2.0), 2000 + steady(30, 1.0)])
    assert interval(times, RANGE) == pytest.approx(1000 / 30)
    assert interval(times[:30], RANGE) == pytest.approx(1000 / 15)
    assert interval(times, SPEC) == 40.0
    assert [round(interval(times, RANGE, turn)) for turn in range(4)] == [33, 67, 100, 33]


def test_a_gap_in_a_range_breaks_the_clip_and_is_named() -> None:
    times = np.delete(steady(15, 2.0), [20, 21])
    buffer = ClipBuffer(RANGE)
    push_all(buffer, times[:24])
    assert buffer.reason(1) == "a gap of 200 ms after 1267 ms breaks the clip"


def test_memory_is_bounded_by_the_longest_clip() -> None:
    buffer = ClipBuffer(RANGE)
    push_all(buffer, steady(60, 10.0))
    assert len(buffer) <= 0.9 * 60

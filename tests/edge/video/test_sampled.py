"""A video looked at in a few places: the frames are those of the whole one, and few are decoded."""

from __future__ import annotations

import io
import logging
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

av = pytest.importorskip("av")
pytest.importorskip("cv2")

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import Frame, read_video
from keras_ddl.edge.video.sampled import SampledVideo
from keras_ddl.edge.video.ways import (
    EARLY,
    NEW_CLOCK,
    NO_INDEX,
    NO_KEY,
    NO_LENGTH,
    ByIndex,
    ByReading,
)
from keras_ddl.edge.video.windows import KeyFrame, Sampling, segments, window

NEEDED = 7  # frames that a place is looked at for
FEW = Sampling(places=4, frames=3, span_ms=160.0, whole_ms=0.0)
B_FRAMES = {"preset": "veryfast", "bf": "2", "crf": "20"}


def pictures(count: int) -> list[np.ndarray]:
    """Noise that moves, so that a wrong picture differs and the coder finds work."""
    wide = np.random.default_rng(1).integers(0, 256, (48, 64 + count, 1), np.uint8)
    return [np.repeat(wide[:, i : i + 64], 3, axis=2) for i in range(count)]


def write(
    path: Path | io.RawIOBase,
    count: int = 300,
    gop: int = 50,
    codec: str = "libx264",
    times_ms: list[float] | None = None,
    muxer: dict[str, str] | None = None,
    options: dict[str, str] | None = None,
    kind: str | None = None,
) -> Any:
    """Write a video of 25 frames per second, B-frames included, a key frame every `gop` frames."""
    coded = {**(B_FRAMES if codec == "libx264" else {}), **(options or {})}
    if codec == "libx264":
        coded |= {"g": str(gop), "sc_threshold": "0"}
    name = str(path) if isinstance(path, Path) else path
    with av.open(name, "w", format=kind, options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=25, options=coded)
        stream.width, stream.height = 64, 48
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.gop_size = gop
        if times_ms is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, image in enumerate(pictures(count)):
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            if times_ms is not None:
                picture.pts, picture.time_base = round(times_ms[index]), Fraction(1, 1000)
            else:
                picture.pts, picture.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def look(video: SampledVideo, needed: int = NEEDED) -> list[list[Frame]]:
    """The frames of each place, so many of each."""
    places: dict[int, list[Frame]] = {}
    for frame in video.frames():
        places.setdefault(frame.segment, []).append(frame)
        if len(places[frame.segment]) == needed:
            video.enough()
    return list(places.values())


def agree(path: Path, places: list[list[Frame]]) -> None:
    """Every frame is one of the whole video, and none between two of a place is left out."""
    whole = {round(frame.time_ms, 3): frame for frame in read_video(path)}
    times = sorted(whole)
    for frames in places:
        found = [round(frame.time_ms, 3) for frame in frames]
        begin = times.index(found[0])
        assert found == times[begin : begin + len(found)]
        for frame in frames:
            np.testing.assert_array_equal(frame.image, whole[round(frame.time_ms, 3)].image)


@pytest.mark.parametrize(
    ("suffix", "way"),
    [(".mp4", ByIndex), (".mkv", ByIndex), (".mov", ByIndex), (".ts", ByReading)],
)
def test_few_frames_are_decoded_and_they_are_those_of_the_whole(
    tmp_path: Path, suffix: str, way: type
) -> None:
    path = write(tmp_path / f"a{suffix}", count=300, gop=25)
    video = SampledVideo(path, FEW)
    places = look(video)
    assert isinstance(video._way, way)
    assert [len(frames) for frames in places] == [NEEDED] * 4
    agree(path, places)
    # A key frame every second: none is decoded on the way, but what its coder holds back.
    assert video.decoded <= 4 * (NEEDED + 3) < 300
    assert video.length_ms == pytest.approx(12_000, abs=1)
    # The key frame before the middle of each part of 3 s.
    assert [frames[0].time_ms for frames in places] == pytest.approx([1000, 4000, 7000, 10_000])


def test_what_is_read_by_an_index_does_not_grow_with_the_file(tmp_path: Path) -> None:
    decoded, read = [], []
    for count in (200, 1600):
        path = write(tmp_path / f"{count}.mp4", count=count, gop=20)
        video = SampledVideo(path, FEW)
        packets: list[int] = []
        inner = video._way.go

        def counted(*args: Any, inner: Any = inner, packets: Any = packets) -> Any:
            found = inner(*args)
            return None if found is None else (packets.append(1) or p for p in found)

        video._way.go = counted  # type: ignore[method-assign]
        look(video)
        decoded.append(video.decoded)
        read.append(len(packets))
    assert decoded[0] == decoded[1] and read[0] == read[1] < 60


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_of_one_key_frame_at_the_start_everything_is_decoded_once_at_most(
    tmp_path: Path, suffix: str
) -> None:
    path = write(tmp_path / f"a{suffix}", count=300, gop=1000)
    video = SampledVideo(path, FEW)
    places = look(video)
    agree(path, places)
    starts = [frames[0].time_ms for frames in places]
    assert starts == pytest.approx([0, 4520, 7520, 10_520], abs=41)
    # What no other frame needs is not decoded on the way: with two B-frames a third or more.
    assert video.decoded < 0.75 * 300


def test_variable_rates_keep_their_times(tmp_path: Path) -> None:
    steps = np.random.default_rng(3).choice([20, 40, 70, 110], 300)
    times = np.cumsum(steps).astype(float).tolist()
    path = write(tmp_path / "a.mkv", times_ms=times, gop=30)
    video = SampledVideo(path, FEW)
    places = look(video)
    assert len(places) == 4
    agree(path, places)


def test_a_start_that_is_not_0_is_taken_off(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", times_ms=[7000 + 40.0 * i for i in range(300)], gop=25)
    places = look(SampledVideo(path, FEW))
    assert places[0][0].time_ms < 2000
    agree(path, places)


def test_without_a_length_all_is_read_and_little_decoded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Pipe(io.RawIOBase):
        """What cannot be gone back in: a muxer leaves length and index out."""

        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += data
            return len(data)

    pipe = Pipe()
    write(pipe, gop=25, kind="matroska")
    path = tmp_path / "live.mkv"
    path.write_bytes(pipe.data)
    with av.open(str(path)) as container:
        assert container.duration is None and container.streams.video[0].duration is None
    video = SampledVideo(path, FEW)
    places = look(video)
    agree(path, places)
    assert len(places) == 4 and video.decoded <= 4 * (NEEDED + 3)
    assert video.length_ms == pytest.approx(12_000, abs=1)
    assert caplog.messages == [
        f"live.mkv: {NO_LENGTH}: all of it was read to be sampled, though not decoded"
    ]


@pytest.mark.parametrize("gop", [25, 1000])
def test_a_file_cut_off_in_the_middle_is_sampled_as_far_as_it_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, gop: int
) -> None:
    path = write(tmp_path / "a.mp4", gop=gop, muxer={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    whole = list(read_video(path))
    assert 100 < len(whole) < 200  # of 300
    caplog.clear()
    video = SampledVideo(path, FEW)
    places = look(video)
    agree(path, places)
    assert len(places) == 4
    # Its last packets lead to no picture.
    assert video.length_ms == pytest.approx(whole[-1].time_ms + 40, abs=250)
    assert places[-1][-1].time_ms > 0.8 * whole[-1].time_ms
    assert EARLY in caplog.messages[0] and "(truncated?)" in caplog.messages[-1]


def test_an_index_that_lies_about_key_frames_is_not_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "a.mp4", gop=50)
    data = bytearray(path.read_bytes())
    begin = data.index(b"stss") + 8  # the count, then each key frame's number, from 1
    (count,) = struct.unpack_from(">I", data, begin)
    assert count == 6
    for place in range(begin + 8, begin + 4 + 4 * count, 4):
        (number,) = struct.unpack_from(">I", data, place)
        struct.pack_into(">I", data, place, number + 7)
    path.write_bytes(data)
    video = SampledVideo(path, FEW)
    places = look(video)
    agree(path, places)
    assert len(places) == 4 and not any(frame.damaged for frames in places for frame in frames)
    assert NO_KEY in caplog.messages[0]


def test_a_fragmented_file_is_sampled(tmp_path: Path) -> None:
    flags = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    path = write(tmp_path / "a.mp4", gop=25, muxer=flags)
    video = SampledVideo(path, FEW)
    places = look(video)
    agree(path, places)
    assert len(places) == 4 and video.decoded <= 4 * (NEEDED + 3)
    assert places[-1][0].time_ms > 9000


def test_a_clock_that_begins_anew_has_every_frame_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    once = write(tmp_path / "once.ts", count=100, gop=25).read_bytes()
    path = tmp_path / "twice.ts"
    path.write_bytes(once + once)
    video = SampledVideo(path, FEW)
    assert video.windows == ()
    frames = list(video.frames())
    assert len(frames) == len(list(read_video(path))) > 190
    assert caplog.messages[0].startswith(f"twice.ts: {NO_INDEX}, {NEW_CLOCK}: it is not sampled")


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.avi", "mpeg4", {}),  # B-frames without time stamps of their own, or none
        ("a.h264", "libx264", {}),  # no times at all
        ("a.webm", "libvpx", {"deadline": "realtime"}),
        ("a.mpg", "mpeg2video", {}),
        ("a.gif", "gif", {}),
        ("a.mkv", "mjpeg", {}),  # key frames only
        ("a.ts", "libx264", {"x264-params": "intra-refresh=1"}),  # one key frame, or none
    ],
)
def test_whatever_the_container_frames_are_those_of_the_whole(
    tmp_path: Path, name: str, codec: str, options: dict[str, str]
) -> None:
    if codec not in av.codecs_available:
        pytest.skip(f"this FFmpeg does not write {codec}")
    path = tmp_path / name
    if codec == "gif":
        with av.open(str(path), "w") as container:
            stream = container.add_stream("gif", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "rgb8"
            for image in pictures(60):
                picture = av.VideoFrame.from_ndarray(image, format="rgb24").reformat(format="rgb8")
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    else:
        write(path, count=150, gop=25, codec=codec, options=options)
    video = SampledVideo(path, FEW)
    places = look(video)
    assert len(places) == 4 or not video.windows
    if "intra" not in str(options):  # joined in the middle, its first pictures are not whole
        agree(path, places)


def test_a_short_video_is_read_whole(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", count=100)
    video = SampledVideo(path, Sampling(8, 3, 160.0, whole_ms=4000.0))
    assert video.windows == ()
    assert [f.index for f in video.frames()] == list(range(100))
    assert SampledVideo(path, Sampling(8, 3, 160.0, whole_ms=3900.0)).windows


def test_a_place_that_wants_more_ends_all_the_same(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", count=1000, gop=50)
    places = look(SampledVideo(path, FEW), needed=10**6)
    assert [len(frames) for frames in places] == [22] * 4  # 3 · (3 · 40 + 160) ms, at 25 a second


def test_what_is_no_video_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_text("a text")
    with pytest.raises(UserError, match="expected a video file, received a text file"):
        SampledVideo(path, FEW)
    whole = write(tmp_path / "b.mp4", count=100)
    data = bytearray(whole.read_bytes())
    begin, end = data.index(b"mdat") + 8, data.index(b"moov") - 8
    data[begin:end] = bytes(end - begin)
    whole.write_bytes(data)
    with pytest.raises(UserError, match="without one decodable frame"):
        list(SampledVideo(whole, FEW).frames())


def test_parts_are_equal_and_leave_room_for_a_clip() -> None:
    found = list(segments(4, 1000.0, 300.0))
    assert [part.begin_ms for part in found] == [0, 250, 500, 750]
    assert [part.middle_ms for part in found] == [125, 375, 625, 700]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (1100.0, None, (1100.0, 1100.0)),  # in the part: from there
        (400.0, 1700.0, (1700.0, 1700.0)),  # only behind its middle
        (400.0, 2300.0, (400.0, 1500.0)),  # in no part of it: decoded to its middle
        (400.0, None, (400.0, 1500.0)),
    ],
)
def test_a_part_is_looked_at_where_it_costs_least(
    before: float, after: float | None, expected: tuple[float, float]
) -> None:
    (part,) = list(segments(4, 4000.0, 200.0))[1:2]
    later = None if after is None else KeyFrame(2, after)
    found = window(part, KeyFrame(1, before), later)
    assert (found.key.time_ms, found.from_ms) == expected


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="keras_ddl.edge.video")

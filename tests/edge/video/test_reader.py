"""Files as they come: constant and variable rate, turned, damaged, and not videos at all."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")
pytest.importorskip("cv2")

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import VideoWriter, probe, read_video

WriteMp4 = Callable[..., Path]


def greys(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Frames whose brightness says their number: 20, 24, 28, …"""
    return [np.full((height, width, 3), 20 + 4 * i, np.uint8) for i in range(count)]


def noise(count: int, height: int = 96, width: int = 128) -> list[np.ndarray]:
    """Frames that H.264 cannot make small, so that a file has many bytes to damage."""
    generator = np.random.default_rng(0)
    grey = generator.integers(0, 256, (count, height, width, 1), np.uint8)
    return list(np.repeat(grey, 3, axis=3))


def number(image: np.ndarray) -> int:
    return round((float(image.mean()) - 20) / 4)


def test_frames_come_in_order_with_their_times(tmp_path: Path, write_mp4: WriteMp4) -> None:
    frames = list(read_video(write_mp4(tmp_path / "a.mp4", greys(30), fps=25)))
    assert [number(f.image) for f in frames] == list(range(30))
    assert [f.index for f in frames] == list(range(30))
    assert [f.time_ms for f in frames] == pytest.approx([40.0 * i for i in range(30)])
    image = frames[0].image
    assert image.shape == (48, 64, 3) and image.dtype == np.uint8


def test_ntsc_rate(tmp_path: Path, write_mp4: WriteMp4) -> None:
    path = write_mp4(tmp_path / "a.mp4", greys(30), fps=30000 / 1001)
    times = [f.time_ms for f in read_video(path)]
    assert times == pytest.approx([i * 1001 / 30 for i in range(30)], abs=0.02)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_variable_rate_times_are_the_files(
    tmp_path: Path, write_mp4: WriteMp4, suffix: str
) -> None:
    times = [0, 40, 80, 200, 210, 250, 1000, 1033]
    frames = list(read_video(write_mp4(tmp_path / f"a{suffix}", greys(8), times_ms=times)))
    assert [f.time_ms for f in frames] == pytest.approx(times, abs=1.01)  # mkv counts whole ms
    assert [number(f.image) for f in frames] == list(range(8))


def test_time_starts_at_the_start_of_the_stream(tmp_path: Path, write_mp4: WriteMp4) -> None:
    path = write_mp4(tmp_path / "a.ts", greys(8), times_ms=[5000 + 40 * i for i in range(8)])
    with av.open(str(path)) as container:
        assert container.streams.video[0].start_time > 0  # the file really starts late
    assert [f.time_ms for f in read_video(path)] == pytest.approx([40.0 * i for i in range(8)])


def test_colours_are_rgb_and_the_matrix_is_the_files(tmp_path: Path) -> None:
    colour = (200, 60, 40)
    for tag, name in ((1, "ITU709"), (5, "ITU601")):
        path = tmp_path / f"{tag}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25, options={"crf": "5"})
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            stream.codec_context.colorspace = tag
            image = np.full((64, 64, 3), colour, np.uint8)
            picture = av.VideoFrame.from_ndarray(image, format="rgb24")
            picture = picture.reformat(format="yuv420p", dst_colorspace=name)
            container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
        (frame,) = read_video(path)
        assert np.abs(frame.image[32, 32].astype(int) - colour).max() <= 3


@pytest.mark.parametrize("rotation", [90, -90, 180])
def test_rotation_is_honoured(tmp_path: Path, write_mp4: WriteMp4, rotation: int) -> None:
    upright = np.full((96, 64, 3), 30, np.uint8)  # a portrait picture, white at its top left
    upright[:24, :24] = 240
    stored = np.rot90(upright, -rotation // 90)  # as a phone held sideways stores it
    path = write_mp4(tmp_path / "a.mp4", [stored] * 4, rotation=rotation)
    for frame in read_video(path):
        assert frame.image.shape == upright.shape
        assert np.abs(frame.image.astype(int) - upright).mean() < 3
        assert frame.image.flags.c_contiguous
    info = probe(path)
    assert (info.width, info.height) == (64, 96)


def test_probe(tmp_path: Path, write_mp4: WriteMp4) -> None:
    info = probe(write_mp4(tmp_path / "a.mp4", greys(12), fps=30))
    assert (info.width, info.height, info.frames, info.codec) == (64, 48, 12, "h264")
    assert info.fps == pytest.approx(30)


def test_sound_video_gives_no_warning(
    tmp_path: Path, write_mp4: WriteMp4, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_mp4(tmp_path / "a.mp4", greys(30))
    assert len(list(read_video(path))) == 30
    assert caplog.records == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts"])
def test_truncated_file_yields_what_decodes(
    tmp_path: Path, write_mp4: WriteMp4, suffix: str, caplog: pytest.LogCaptureFixture
) -> None:
    frames = noise(50)
    path = write_mp4(tmp_path / f"a{suffix}", frames, crf=20)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with caplog.at_level(logging.WARNING, "keras_ddl"):
        read = list(read_video(path))
    assert 15 <= len(read) <= 35
    assert [f.time_ms for f in read] == pytest.approx([40.0 * i for i in range(len(read))], abs=1)
    assert np.abs(read[10].image.astype(int) - frames[10]).mean() < 30
    if suffix != ".ts":  # a transport stream says nothing about its length
        assert "truncated" in caplog.text and path.name in caplog.text


def test_corrupted_packets_are_skipped_and_counted(
    tmp_path: Path, write_mp4: WriteMp4, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_mp4(tmp_path / "a.mp4", noise(48), crf=20, gop=6)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for position, size in packets[20:23]:
        data[position : position + size] = bytes(size)
    path.write_bytes(data)
    with caplog.at_level(logging.WARNING, "keras_ddl"):
        read = list(read_video(path))
    assert 40 <= len(read) <= 45
    assert "corrupted packets skipped" in caplog.text
    assert len(caplog.records) == 1  # once at the end, not once a packet
    times = [round(f.time_ms) for f in read]
    assert times == sorted(set(times))
    assert times[0] == 0 and times[-1] == 47 * 40  # frames after the damage keep their times


def test_each_kind_of_no_video_is_one_line(tmp_path: Path, write_mp4: WriteMp4) -> None:
    import cv2

    (tmp_path / "zero.mp4").touch()
    (tmp_path / "words.mp4").write_text("this is no video\n" * 100)
    (tmp_path / "words.txt").write_text("FFmpeg would draw this as a film\n" * 100)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(10_000))
    cv2.imwrite(str(tmp_path / "still.png"), greys(1)[0])
    headless = write_mp4(tmp_path / "whole.mp4", greys(5)).read_bytes()[:200]
    (tmp_path / "head.mp4").write_bytes(headless)
    expected = {
        "absent.mp4": "no such file",
        ".": "a folder",
        "zero.mp4": "0 bytes",
        "words.mp4": "a text file",
        "words.txt": "a text file",
        "noise.mp4": "FFmpeg cannot open",
        "still.png": "a still image",
        "head.mp4": "without a video stream",
    }
    for name, says in expected.items():
        for read in (read_video, probe):
            with pytest.raises(UserError, match=says) as caught:
                read(tmp_path / name)
            assert "\n" not in str(caught.value)
            assert caught.value.exit_code == 2


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        stream.layout = "mono"
        for index in range(20):
            sound = av.AudioFrame.from_ndarray(
                np.zeros((1, 1024), np.float32), format="fltp", layout="mono"
            )
            sound.sample_rate, sound.pts = 16_000, 1024 * index
            sound.time_base = Fraction(1, 16_000)
            container.mux(stream.encode(sound))
        container.mux(stream.encode(None))
    return path


def test_audio_only_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"without a video stream \(only audio\)"):
        read_video(write_sound(tmp_path / "a.mp4"))


def test_video_without_a_decodable_frame(tmp_path: Path, write_mp4: WriteMp4) -> None:
    path = write_mp4(tmp_path / "a.mp4", noise(3), crf=20)
    with av.open(str(path)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for position, size in packets:
        data[position : position + size] = bytes(size)
    path.write_bytes(data)
    with pytest.raises(UserError, match="without one decodable frame"):
        next(read_video(path))
    with pytest.raises(UserError, match="without one decodable frame"):
        probe(path)


def flipped(path: Path, mark: bytes, by: bytes) -> Path:
    """The file with every `mark` in it replaced."""
    content = path.read_bytes()
    assert mark in content and len(mark) == len(by)
    path.write_bytes(content.replace(mark, by))
    return path


def test_a_codec_that_nobody_knows_is_one_line(tmp_path: Path, write_mp4: WriteMp4) -> None:
    path = flipped(write_mp4(tmp_path / "a.mp4", greys(4)), b"avc1", b"avq1")
    for read in (probe, read_video):
        with pytest.raises(UserError, match="of a codec that FFmpeg does not know; check or"):
            read(path)


def test_a_title_in_another_encoding_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Cafe: a title"
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for image in greys(5):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))
    flipped(path, b"Cafe: a", b"Caf\xe9: a")
    assert probe(path).codec == "h264"
    assert [number(frame.image) for frame in read_video(path)] == list(range(5))


def test_a_name_that_is_not_utf_8_is_printed_with_its_bytes(
    tmp_path: Path, write_mp4: WriteMp4, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    path.write_text("no video")
    with pytest.raises(UserError) as caught:
        read_video(path)
    assert str(caught.value).startswith(f"{tmp_path}/caf\\xe9.mp4: expected a video file")
    write_mp4(tmp_path / "whole.mp4", noise(20))
    whole = (tmp_path / "whole.mp4").read_bytes()
    path.write_bytes(whole[: len(whole) // 5])  # more than half a second is gone
    assert list(read_video(path))
    assert caplog.messages[-1].startswith("caf\\xe9.mp4: ")


def test_what_may_not_be_read_is_one_line(nobodys_folder: Path, write_mp4: WriteMp4) -> None:
    (nobodys_folder / "in").mkdir()
    path = write_mp4(nobodys_folder / "in" / "a.mp4", greys(4))
    for place in (path, path.parent):
        place.chmod(0)
        with pytest.raises(UserError, match=r"a\.mp4: cannot be read: Permission denied"):
            read_video(path)
        place.chmod(0o700)


def test_writer_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, fps=30000 / 1001) as writer:
        for image in greys(45):
            writer.write(image)
        assert not path.exists()  # only a finished file has the name
    assert writer.frames == 45
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]
    frames = list(read_video(path))
    assert [number(f.image) for f in frames] == list(range(45))
    assert [f.time_ms for f in frames] == pytest.approx([i * 1001 / 30 for i in range(45)], abs=0.1)
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.pix_fmt == "yuv420p"


def test_writer_extends_odd_sides_and_keeps_colour(tmp_path: Path) -> None:
    image = np.full((49, 65, 3), (200, 60, 40), np.uint8)
    with VideoWriter(tmp_path / "o.mp4", fps=25) as writer:
        writer.write(image)
    (frame,) = read_video(tmp_path / "o.mp4")
    assert frame.image.shape == (50, 66, 3)
    assert np.abs(frame.image[:49, :65].astype(int) - image).max() <= 4


def test_writer_scales_to_the_first_size(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "o.mp4", fps=25) as writer:
        for image in greys(3, 48, 32) + greys(3, 96, 128):  # the source changes its size
            writer.write(image)
    assert [f.image.shape for f in read_video(tmp_path / "o.mp4")] == [(48, 32, 3)] * 6


def test_writer_takes_times_of_any_clock(tmp_path: Path) -> None:
    times = [7000, 7040, 7100, 7099, 7300]  # the fourth runs backwards: put just after the third
    with VideoWriter(tmp_path / "o.mp4", fps=25) as writer:
        for image, time in zip(greys(5), times, strict=True):
            writer.write(image, time_ms=time)
    read = [f.time_ms for f in read_video(tmp_path / "o.mp4")]
    assert read == pytest.approx([0, 40, 100, 100, 300], abs=0.1)
    assert len(read) == 5


def test_writer_leaves_nothing_after_an_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "o.mp4"
    with pytest.raises(RuntimeError, match="stop"), VideoWriter(path, fps=25) as writer:
        writer.write(greys(1)[0])
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []
    with VideoWriter(path, fps=25):
        pass
    assert list(tmp_path.iterdir()) == []
    assert "no frame was written" in caplog.text


def test_writer_keeps_the_old_file_until_it_is_done(tmp_path: Path) -> None:
    path = tmp_path / "o.mp4"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), VideoWriter(path, fps=25) as writer:
        writer.write(greys(1)[0])
        raise RuntimeError
    assert path.read_bytes() == b"old"


def test_writer_errors(tmp_path: Path) -> None:
    for bad in ({"fps": 0}, {"fps": 25, "crf": 52}):
        with pytest.raises(ValueError):
            VideoWriter(tmp_path / "o.mp4", **bad)  # type: ignore[arg-type]
    with VideoWriter(tmp_path / "o.mp4", fps=25) as writer:
        for image in (greys(1)[0][..., 0], greys(1)[0].astype(np.float32)):
            with pytest.raises(ValueError, match="uint8"):
                writer.write(image)
    with pytest.raises(ValueError, match="closed"):
        writer.write(greys(1)[0])
    for path in (tmp_path / "absent" / "o.mp4", tmp_path / "o.unknown"):
        with pytest.raises(UserError, match="writable") as caught, VideoWriter(path, 25) as writer:
            writer.write(greys(1)[0])
        assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.real
def test_real_files_keep_their_own_times(shared_real: Path) -> None:
    info = probe(shared_real / "hamilton_crowd.mp4")
    assert (info.width, info.height, info.frames) == (640, 360, 275)
    frames = list(read_video(shared_real / "hamilton_crowd.mp4"))
    assert len(frames) == 275
    assert frames[0].time_ms == 0.0  # the file's own clock starts at 852 ms
    assert np.diff([f.time_ms for f in frames]) == pytest.approx(1000 / 29.97, abs=0.1)

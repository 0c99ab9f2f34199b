"""Containers: what is opened, what is refused, and which stream is the video."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from keras_ddl.edge.errors import UserError
from keras_ddl.edge.video import probe, read_video


def greys(level: int, height: int, width: int, count: int = 5) -> list[np.ndarray]:
    return [np.full((height, width, 3), level, np.uint8)] * count


def together(path: Path, pictures: list[tuple[list[np.ndarray], bool]]) -> Path:
    """A file of several video streams; the flag marks the default ones."""
    with av.open(str(path), "w") as container:
        streams = []
        for frames, default in pictures:
            stream = container.add_stream("libx264", rate=25)
            stream.height, stream.width = frames[0].shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.disposition = av.stream.Disposition.default if default else 0
            streams.append(stream)
        for stream, (frames, _) in zip(streams, pictures, strict=True):
            for image in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_default_stream_is_taken_wherever_it_stands(tmp_path: Path, suffix: str) -> None:
    small, large = greys(50, 32, 48), greys(200, 96, 128)
    path = together(tmp_path / f"a{suffix}", [(small, False), (large, True)])
    assert (probe(path).width, probe(path).height) == (128, 96)
    assert all(abs(float(frame.image.mean()) - 200) < 4 for frame in read_video(path))


def test_of_several_defaults_the_largest_is_taken(tmp_path: Path) -> None:
    pictures = [(greys(50, 32, 48), True), (greys(200, 96, 128), True), (greys(9, 64, 64), True)]
    assert probe(together(tmp_path / "a.mkv", pictures)).width == 128


def test_pictures_larger_than_the_bound_are_never_decoded(tmp_path: Path) -> None:
    path = together(tmp_path / "a.mp4", [(greys(90, 48, 64), True)])
    assert probe(path, 48 * 64).height == 48
    with pytest.raises(UserError, match=r"64 × 48, more than the 0\.003071 million pixels"):
        read_video(path, most_pixels=48 * 64 - 1)


def test_a_stream_that_grows_beyond_the_bound_ends_there(tmp_path: Path) -> None:
    small = together(tmp_path / "small.ts", [(greys(90, 48, 64, 60), True)])
    large = together(tmp_path / "large.ts", [(greys(90, 96, 128, 60), True)])
    joined = tmp_path / "joined.ts"
    joined.write_bytes(small.read_bytes() + large.read_bytes())
    shapes = [frame.image.shape for frame in read_video(joined)]
    assert shapes.count((48, 64, 3)) == 60 and (96, 128, 3) in shapes
    skipped: dict[str, int] = {}
    bounded = list(read_video(joined, skipped, most_pixels=5000))
    assert {frame.image.shape for frame in bounded} == {(48, 64, 3)}
    assert skipped["corrupted"] > 0


SCRIPT = "ffconcat version 1.0\nfile {0}\nfile {0}\n"
PLAYLIST = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{0}\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [(SCRIPT, "a script that names other files"), (PLAYLIST, "a playlist of other files")],
)
@pytest.mark.parametrize("named", ["beside", "whole path", "parent"])
def test_a_file_that_names_others_opens_none_of_them(
    text: str, says: str, named: str, tmp_path: Path, write_mp4: Callable[..., Path]
) -> None:
    (tmp_path / "in").mkdir()
    other = write_mp4(tmp_path / "in" / "other.mp4", greys(100, 48, 64))
    names = {"beside": other.name, "whole path": str(other), "parent": "../in/other.mp4"}
    file = tmp_path / "in" / "video.mp4"
    file.write_text(text.format(names[named]))
    for read in (read_video, probe):
        with pytest.raises(UserError, match=says):
            read(file)


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"avif"])
def test_a_picture_in_a_container_of_video_is_named(brand: bytes, tmp_path: Path) -> None:
    """FFmpeg would show one tile of it."""
    file = tmp_path / "photo.heic"
    file.write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(200))
    with pytest.raises(UserError, match="HEIC or AVIF picture, which is not read: save it as JPEG"):
        read_video(file)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UserError, match="no regular file"):
        read_video(tmp_path / "pipe.mp4")

"""Pictures as a player shows them: mirrored, turned, of square pixels, of one moment."""

from __future__ import annotations

import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

av = pytest.importorskip("av")

from keras_ddl.edge.video import probe, read_video
from keras_ddl.edge.video.picture import square_size, turned

ONE = 1 << 16
MATRICES = {  # as a track header has them, and what NumPy makes of the picture
    "as it is": ((ONE, 0, 0, ONE), lambda a: a),
    "mirrored": ((-ONE, 0, 0, ONE), lambda a: a[:, ::-1]),
    "upside down": ((ONE, 0, 0, -ONE), lambda a: a[::-1]),
    "half a turn": ((-ONE, 0, 0, -ONE), lambda a: a[::-1, ::-1]),
    "a quarter turn clockwise": ((0, ONE, -ONE, 0), lambda a: np.rot90(a, -1)),
    "a quarter turn back": ((0, -ONE, ONE, 0), lambda a: np.rot90(a)),
    "over one diagonal": ((0, ONE, ONE, 0), lambda a: a.transpose(1, 0, 2)),
    "over the other": ((0, -ONE, -ONE, 0), lambda a: np.rot90(a, 2).transpose(1, 0, 2)),
}


def corner() -> np.ndarray:
    """Every corner another grey."""
    picture = np.full((48, 64, 3), 20, np.uint8)
    picture[:16, :16], picture[:16, -16:], picture[-16:, :16] = 240, 160, 90
    return picture


def with_matrix(path: Path, values: tuple[int, ...]) -> Path:
    """Write a display matrix into the header of an MP4 file's track."""
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd") + 4 + 40
    a, b, c, d = values
    data[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", MATRICES)
def test_every_display_matrix_is_applied(
    name: str, tmp_path: Path, write_mp4: Callable[..., Path]
) -> None:
    values, shown = MATRICES[name]
    path = with_matrix(write_mp4(tmp_path / "a.mp4", [corner()] * 3), values)
    expected = shown(corner())
    for frame in read_video(path):
        assert frame.image.shape == expected.shape and frame.image.flags.c_contiguous
        assert np.abs(frame.image.astype(int) - expected).mean() < 3
    info = probe(path)
    assert (info.height, info.width) == expected.shape[:2]


def test_turning_is_the_matrixs_on_any_picture() -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    for (a, b, c, d), shown in MATRICES.values():
        matrix = tuple(tuple(int(np.sign(v)) for v in row) for row in ((a, b), (c, d)))
        np.testing.assert_array_equal(turned(picture, matrix), shown(picture))


def write(path: Path, frames: list[np.ndarray], aspect: Fraction | None = None, **options: str):
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "4", **options})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("aspect", "shape"), [(Fraction(2), (48, 128)), (Fraction(1, 2), (96, 64)), (None, (48, 64))]
)
def test_pixels_become_square(
    tmp_path: Path, aspect: Fraction | None, shape: tuple[int, int]
) -> None:
    path = write(tmp_path / "a.mp4", [corner()] * 3, aspect)
    frames = list(read_video(path))
    assert frames[0].image.shape[:2] == shape
    assert (probe(path).height, probe(path).width) == shape
    top_left = frames[0].image[: shape[0] // 6, : shape[1] // 8]
    assert abs(float(top_left.mean()) - 240) < 12


def test_a_shape_that_cannot_be_meant_is_left() -> None:
    assert square_size(64, 48, Fraction(1, 1000)) == (64, 48)
    assert square_size(720, 576, Fraction(16, 15)) == (768, 576)
    assert square_size(64, 48, None) == (64, 48)


def test_of_two_fields_one_is_shown(tmp_path: Path) -> None:
    """Even lines of one moment, odd lines of another: combs, which one field alone has not."""
    combed = np.full((96, 64, 3), 30, np.uint8)
    combed[::2] = 200
    path = write(tmp_path / "a.mp4", [combed] * 3, **{"x264-params": "interlaced=1"})
    frame = next(iter(read_video(path)))
    assert frame.image.shape == combed.shape
    assert float(frame.image.std()) < 12
    level = float(frame.image.mean())
    assert min(abs(level - 200), abs(level - 30)) < 15

"""Pictures as they are meant to be seen: turned, mirrored, with square pixels, without combs."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

NO_TURN = ((1, 0), (0, 1))
WIDEST = 4  # pixels that are said to be wider or higher than this are taken to be square
HDR = {16: "PQ", 18: "HLG"}  # FFmpeg's transfer characteristics

# Formats whose colours stand pair by pair, as devices give them, and the one of the same samples
# in planes. FFmpeg's way from the former to RGB differs: in a third of all values of a video here,
# by up to 65 grey levels.
PLANAR = {"nv12": "yuv420p"}

Matrix = tuple[tuple[int, int], tuple[int, int]]


def display_matrix(picture: VideoFrame) -> Matrix:
    """Where a picture's axes go when it is shown: rows are the images of right and down.

    Angles between quarter turns are taken for the nearest.
    """
    side_data: Any = picture.side_data
    for data in side_data:
        if data.type.name == "DISPLAYMATRIX":
            a, b, _, c, d, *_ = np.frombuffer(data, np.int32).tolist()
            if abs(a) + abs(d) >= abs(b) + abs(c):
                return (_sign(a), 0), (0, _sign(d))
            return (0, _sign(b)), (_sign(c), 0)
    return NO_TURN


def _sign(value: int) -> int:
    return -1 if value < 0 else 1


def turned(image: np.ndarray, matrix: Matrix) -> np.ndarray:
    """Turn and mirror an image as a display matrix says.

    Args:
        image: (H, W, 3).
        matrix: From `display_matrix`.

    Returns:
        (H, W, 3) or (W, H, 3).
    """
    (right_x, right_y), (down_x, down_y) = matrix
    if right_x:  # right stays horizontal
        columns, rows = right_x, down_y
    else:
        image, columns, rows = image.transpose(1, 0, 2), down_x, right_y
    shown = image[::rows, ::columns]
    return shown if matrix == NO_TURN else np.ascontiguousarray(shown)


def square_size(width: int, height: int, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height of a stored picture once its pixels are square; neither shrinks."""
    if not aspect or aspect == 1 or not Fraction(1, WIDEST) <= aspect <= WIDEST:
        return width, height
    if aspect > 1:
        return round(width * aspect), height
    return width, round(height / aspect)


def rgb(picture: VideoFrame, aspect: Fraction | None = None) -> np.ndarray:
    """The picture as it is meant to be seen.

    Of an interlaced picture, whose two fields were taken at two moments, one field is shown.

    Args:
        picture: As decoded.
        aspect: Width of a pixel over its height, as the stream says; None = not said.

    Returns:
        uint8, (H, W, 3), RGB.
    """
    matrix, interlaced = display_matrix(picture), is_interlaced(picture)
    if planar := PLANAR.get(picture.format.name):
        picture = picture.reformat(format=planar)
    width, height = square_size(picture.width, picture.height, aspect)
    if interlaced:
        field = picture.to_ndarray(format="rgb24")[::2]
        image = _resized(field, width, height)
    elif (width, height) != (picture.width, picture.height):
        image = picture.reformat(width=width, height=height, format="rgb24").to_ndarray()
    else:
        image = picture.to_ndarray(format="rgb24")
    return turned(image, matrix)


def shown_size(picture: VideoFrame, aspect: Fraction | None) -> tuple[int, int]:
    """Width and height of what `rgb` gives."""
    width, height = square_size(picture.width, picture.height, aspect)
    return (width, height) if display_matrix(picture)[0][0] else (height, width)


def is_interlaced(picture: Any) -> bool:
    """Whether its lines belong to two moments."""
    return bool(getattr(picture, "interlaced_frame", False))


def hdr(picture: Any) -> str:
    """The name of a high dynamic range's transfer curve, which is not undone here; "" for none."""
    return HDR.get(int(getattr(picture, "color_trc", 0) or 0), "")


def _resized(image: np.ndarray, width: int, height: int) -> np.ndarray:
    from av.video.frame import VideoFrame

    frame = VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
    larger: np.ndarray = frame.reformat(width=width, height=height).to_ndarray()
    return larger

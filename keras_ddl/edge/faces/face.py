"""Face in a picture, the interface of what finds it, and what the detectors share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Face:
    """A face in one image.

    Args:
        box: Canonical square box (x, y, w, h) in pixels; x, y = outer corner; may leave the image.
        score: In (0, 1], comparable within one detector only.
        turn: How far the face is turned to a side, from 0 (the nose is midway between the eyes) to
            1 (it lies beside one of them) and beyond; None = the detector finds no eyes.
        points: Five (x, y) in pixels: the eye on the picture's left, the other, the tip of the
            nose, the corners of the mouth; None = the detector finds none.
    """

    box: Box
    score: float
    turn: float | None = None
    points: tuple[tuple[float, float], ...] | None = None

    def moved(self, x: float, y: float) -> Face:
        """Return the same face in a picture whose corner lies x, y pixels further up and left."""
        points = self.points and tuple((px + x, py + y) for px, py in self.points)
        box = (self.box[0] + x, self.box[1] + y, *self.box[2:])
        return Face(box, self.score, self.turn, points)


class FaceDetector(Protocol):
    """Interface of every detector.

    Attributes:
        name: "haar" or "yunet".
        smallest: Side of the smallest face that it finds reliably, in pixels of what it looks at.
        region: Side of the square that it is given around a known face, in the same pixels.
        cheap: A search that looks at so many pixels, or fewer, is cheaper than any other way.
        worth: Most pixels that the squares around all known faces may have, as a share of those of
            a search of the whole image, to be the cheaper way.
    """

    name: str
    smallest: float
    region: int
    cheap: int
    worth: float

    def detect(self, image_rgb: np.ndarray, least: float | None = None) -> list[Face]:
        """Return the faces of a uint8 (H, W, 3) RGB image, largest score · area first.

        Args:
            image_rgb: The image.
            least: Side of the smallest face of interest in pixels of the image, which is shrunk so
                far that one of that size is still found; smaller ones may be found or not. None =
                shrunk to a longer side that the detector has, as training's pictures are.
        """
        ...

    def size(self, width: int, height: int, least: float | None = None) -> tuple[int, int]:
        """Return width and height at which `detect` looks at such an image, in pixels."""
        ...


def check_image(image: np.ndarray) -> None:
    """Refuse what is no uint8 (H, W, 3) image with a ValueError."""
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"image: expected uint8 (H, W, 3) RGB, received {image.dtype} {tuple(image.shape)}"
        )


def searched_size(
    width: int, height: int, longest: float, smallest: float, least: float | None
) -> tuple[int, int]:
    """Return the size at which an image is searched; it is never enlarged.

    Args:
        width, height: Of the image in pixels.
        longest: Longer side at most, where no smallest face is named.
        smallest: Side of the smallest face that the detector finds reliably, in searched pixels.
        least: Side of the smallest face of interest in the image's pixels; None is all.
    """
    factor = max(width, height) / longest if least is None else least / smallest
    if factor <= 1:
        return width, height
    return max(1, round(width / factor)), max(1, round(height / factor))


def shrunk(image: np.ndarray, size: tuple[int, int], quick: bool = False) -> np.ndarray:
    """Return an image at that size (width, height); each pixel is the mean of those it stands for.

    Where that can be it is halved first, which takes a quarter of the time, 2 ms and not 9 of 1080p
    to 800 pixels. Faces are then found 0.05 pixels from where they would be.

    Args:
        image: uint8 (H, W, 3).
        size: No larger than the image.
        quick: What is left to shrink to less than a half is interpolated between four pixels, which
            takes a tenth of the time.
    """
    import cv2

    while all(
        side % 2 == 0 and side >= 2 * wanted
        for side, wanted in zip(image.shape[1::-1], size, strict=True)
    ):
        half = (image.shape[1] // 2, image.shape[0] // 2)
        image = cv2.resize(image, half, interpolation=cv2.INTER_AREA)
    if image.shape[1::-1] == size:
        return image
    near = all(a < 2 * b for a, b in zip(image.shape[1::-1], size, strict=True))
    way = cv2.INTER_LINEAR if quick and near else cv2.INTER_AREA
    return cv2.resize(image, size, interpolation=way)


def square(centre_x: float, centre_y: float, side: float) -> Box:
    """Return the square box around a centre."""
    side = float(side)  # plain numbers: boxes end in JSON
    return (float(centre_x) - side / 2, float(centre_y) - side / 2, side, side)


def ranked(faces: list[Face]) -> list[Face]:
    """Sort by score · area, then by place, so that equal input gives equal output."""
    return sorted(faces, key=lambda face: (-face.score * face.box[2] * face.box[3], face.box))

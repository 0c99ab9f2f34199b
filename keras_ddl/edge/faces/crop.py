"""Square crop of a face, from its box to the network's input size."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def square_crop(image: np.ndarray, box: Sequence[float], margin: float, size: int) -> np.ndarray:
    """Cut a square around a box and scale it to `size`.

    The square has the box's centre and the side max(w, h)·margin. Both are kept to a fraction of
    a pixel, so that a box that glides gives a crop that glides. Where the square leaves the image,
    the image's edge is repeated.

    Args:
        image: uint8, (H, W, 3).
        box: (x, y, w, h) in pixels; x, y = outer corner of the first pixel, floats.
        margin: Side of the square over max(w, h), above 0.
        size: Side of the result in pixels, at least 1.

    Returns:
        uint8, (size, size, 3). Shrinking averages over areas, enlarging is bilinear; a square on
        whole pixels with a side of `size` is copied exactly.

    Raises:
        ValueError: Wrong shape or dtype, a box that is empty or not finite, or a bad number.
    """
    import cv2

    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise ValueError(
            f"image: expected uint8 (H, W, 3), received {image.dtype} {tuple(image.shape)}"
        )
    x, y, w, h = (float(value) for value in box)
    if not (np.isfinite([x, y, w, h]).all() and w > 0 and h > 0):
        raise ValueError(f"box: expected finite (x, y, w, h) with w, h above 0, received {box!r}")
    if not margin > 0 or size < 1:
        raise ValueError(f"expected margin above 0 and size at least 1, received {margin}, {size}")
    side = max(w, h) * margin
    left, top = x + (w - side) / 2, y + (h - side) / 2
    scale = size / side
    if scale >= 1:
        return _warp(image, left, top, scale, size)
    # Two steps: the square at its own resolution (whole number of pixels), then area averaging.
    whole = max(size, round(side))
    patch = _warp(image, left, top, whole / side, whole)
    if whole == size:
        return patch
    return cv2.resize(patch, (size, size), interpolation=cv2.INTER_AREA)


def _warp(image: np.ndarray, left: float, top: float, scale: float, size: int) -> np.ndarray:
    """Sample a (size, size, 3) square whose outer corner is (left, top), bilinear."""
    import cv2

    # Centre of output pixel u lies at left + (u + 0.5) / scale, less 0.5 in pixel indices.
    step, half = 1 / scale, 0.5 / scale - 0.5
    matrix = np.array([[step, 0, left + half], [0, step, top + half]], np.float64)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE)

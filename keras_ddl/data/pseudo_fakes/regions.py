"""Face regions: outlines on a face that turns, placed by a detector's five points.

A template of a face, in three dimensions and in units of the distance between the eyes, is laid
over the five points by weak perspective (the affine camera that fits them best), so that an outline
follows a turned or tilted head. The template's numbers are this project's, read off average faces.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

# x to the picture's right, y down, z towards the camera; the origin lies between the eyes.
POINTS = (
    np.array(  # the eye on the picture's left, the other, tip of the nose, corners of the mouth
        [(-0.5, 0, 0), (0.5, 0, 0), (0, 0.62, 0.55), (-0.4, 1.08, 0.1), (0.4, 1.08, 0.1)]
    )
)
_JAW = ((-1.1, 0.1, -0.9), (-1.05, 0.75, -0.75), (-0.85, 1.3, -0.45), (-0.45, 1.72, -0.1))
_CHIN = (0, 1.85, 0.1)
# Corners from the middle of the upper edge down the picture's left side; the right is its mirror.
_HALVES: dict[str, tuple[tuple[float, float, float], ...]] = {
    "face": ((0, -0.5, 0.2), (-0.5, -0.55, 0.05), (-0.95, -0.35, -0.45), *_JAW, _CHIN),
    "head": (
        (0, -1.1, 0.1),
        (-0.6, -0.95, 0),
        (-1, -0.5, -0.5),
        *_JAW,
        _CHIN,
    ),
    "middle": (
        (0, -0.45, 0.2),
        (-0.8, -0.35, -0.2),
        (-0.8, 0.7, -0.2),
        (-0.5, 1.4, 0.1),
        (0, 1.5, 0.2),
    ),
    "lower half": ((0, 0.5, 0.3), (-0.4, 0.5, 0.2), (-1, 0.55, -0.7), *_JAW[1:], _CHIN),
    "mouth": (
        (0, 0.82, 0.2),
        (-0.35, 0.85, 0.15),
        (-0.62, 1.08, 0),
        (-0.35, 1.38, 0.1),
        (0, 1.48, 0.15),
    ),
    "eyes": (
        (0, -0.35, 0.15),
        (-0.95, -0.3, -0.3),
        (-0.9, 0.25, -0.2),
        (-0.2, 0.2, 0.15),
        (0, 0.15, 0.2),
    ),
}
OUTLINES = {
    name: (*half, *((-x, y, z) for x, y, z in half[-2:0:-1])) for name, half in _HALVES.items()
}
"""Region → its corners, closed by the first."""
BOX_SIDE = 2.45  # of the canonical face box, in distances between the eyes
BOX_TOP = 1.0  # from its upper edge to the eyes, likewise
STIFFNESS = 0.3  # how unwillingly the fit takes what only depth explains


def camera(points: np.ndarray) -> np.ndarray:
    """The affine camera under which the template's five points lie nearest to a face's.

    Args:
        points: float, (5, 2), x and y in pixels, in the order of `POINTS`.

    Returns:
        float64, (2, 4): pixel = camera · (x, y, z, 1).
    """
    known = np.column_stack([POINTS, np.ones(5)])
    ridge = np.diag([0.0, 0.0, STIFFNESS, 0.0])
    solved: np.ndarray = np.linalg.solve(known.T @ known + ridge, known.T @ points)
    return solved.T


def frontal_points(side: float, margin: float) -> np.ndarray:
    """Where the five points of an upright, frontal face lie in its crop, (5, 2) in pixels.

    Args:
        side: Side of the crop in pixels.
        margin: Side of the crop over the side of the face box.
    """
    unit = side / margin / BOX_SIDE
    corner = (side - side / margin) / 2
    eyes = np.array([side / 2, corner + BOX_TOP * unit])
    points: np.ndarray = eyes + unit * POINTS[:, :2]
    return points


def outline(region: str, random: np.random.Generator, wobble: float, count: int = 72) -> np.ndarray:
    """A region's closed outline with smooth irregularities of its own.

    Args:
        region: A key of `OUTLINES`.
        random: Draws the irregularities.
        wobble: Their size, share of the region's.
        count: Points along it.

    Returns:
        float64, (count, 3), in the template's units.
    """
    corners = np.array([*OUTLINES[region], OUTLINES[region][0]])
    along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(corners, axis=0), axis=1))]
    places = np.linspace(0, along[-1], count, endpoint=False)
    line = np.column_stack([np.interp(places, along, corners[:, axis]) for axis in range(3)])
    angle = 2 * np.pi * np.arange(count) / count
    waves = sum(
        random.normal(0, wobble / k) * np.cos(k * angle + random.uniform(0, 2 * np.pi))
        for k in (1, 2, 3, 4, 5)
    )
    middle = line.mean(0)
    wobbly: np.ndarray = middle + (line - middle) * (1 + np.asarray(waves))[:, None]
    return wobbly


def soft_mask(
    line: np.ndarray, view: np.ndarray, size: Sequence[int], grow: float, blur: float
) -> np.ndarray:
    """The region as a mask with a soft border.

    Args:
        line: From `outline`.
        view: From `camera`.
        size: Height and width in pixels.
        grow: Factor on the region's size; below 1 it is eroded.
        blur: σ of the border in pixels.

    Returns:
        float32, (H, W), in [0, 1].
    """
    import cv2

    middle = line.mean(0)
    placed = np.column_stack([middle + (line - middle) * grow, np.ones(len(line))]) @ view.T
    mask = np.zeros((int(size[0]), int(size[1])), np.uint8)
    fixed = np.rint((placed - 0.5) * 16).astype(np.int32)  # four bits behind the point
    cv2.fillPoly(mask, [fixed], 255, cv2.LINE_AA, shift=4)
    soft: np.ndarray = cv2.GaussianBlur(mask, (0, 0), max(blur, 0.3)).astype(np.float32)
    return soft / 255

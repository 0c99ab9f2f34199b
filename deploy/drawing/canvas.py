"""Marks on pictures: text, panels, timelines and heat maps, drawn with OpenCV on RGB arrays.

`encoded` makes a file of what was drawn.

Text is rendered four times too large and shrunk, so that it stays smooth and legible at 9 pixels.
Everything else draws in place and clips at the edges of the picture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from deploy.judging.records import Point
from deploy.judging.verdict import Label, Policy
from keras_ddl.edge.faces.heat_map import heat_layer
from keras_ddl.edge.optional_import import need

Color = tuple[int, int, int]
Rect = tuple[int, int, int, int]  # x0, y0, x1, y1 in pixels; x1 and y1 are outside

# Told apart with every common form of colour blindness (after Okabe and Ito), and always with text.
COLORS: dict[Label, Color] = {
    Label.REAL: (0, 190, 130),
    Label.FAKE: (255, 100, 70),
    Label.UNCERTAIN: (245, 185, 30),
    Label.NO_FACE: (160, 160, 160),
}
INK: Color = (16, 18, 22)
PAPER: Color = (245, 245, 245)
MUTED: Color = (165, 170, 178)
OVERSAMPLING = 4
CONDENSED = 0.86  # OpenCV's letters are wide; this much of their width reads better


@dataclass(frozen=True)
class Letters:
    """What OpenCV makes of its simplex font.

    Attributes:
        cap_height: Of a capital at scale 1, in pixels, without the stroke.
        stroked: Whether they are lines, half of whose stroke stands out above and below; else they
            are filled outlines, thin with a stroke of 1 and bold with any other.
    """

    cap_height: float
    stroked: bool

    def pen(self, height: int, bold: bool) -> tuple[float, int]:
        """Scale and stroke with which a capital is so many pixels high."""
        if not self.stroked:
            return height / self.cap_height, 1 + bold
        stroke = max(1, round(height * (0.15 if bold else 0.11)))
        return (height - stroke) / self.cap_height, stroke


LETTERS_4 = Letters(21.0, True)
LETTERS_5 = Letters(20.2, False)  # of OpenCV 5


@lru_cache(maxsize=256)
def _glyphs(text: str, height: int, bold: bool) -> np.ndarray:
    """Coverage of a line of text, float32 (h, w) in [0, 1]; h is 1.6 × the capital height."""
    cv2 = need("cv2", "drawing on pictures")
    big = height * OVERSAMPLING
    letters = LETTERS_4 if cv2.__version__ < "5" else LETTERS_5
    scale, stroke = letters.pen(big, bold)
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, stroke)
    line = round(height * 1.6)
    canvas = np.zeros((line * OVERSAMPLING, width + big), np.uint8)
    origin = (big // 4, round(1.25 * big - (stroke / 2 if letters.stroked else 0)))
    cv2.putText(canvas, text, origin, cv2.FONT_HERSHEY_SIMPLEX, scale, 255, stroke, cv2.LINE_AA)
    size = (max(1, round(canvas.shape[1] * CONDENSED / OVERSAMPLING)), line)
    shrunk: np.ndarray = cv2.resize(canvas, size, interpolation=cv2.INTER_AREA)
    mask: np.ndarray = shrunk.astype(np.float32) / np.float32(255.0)
    mask.flags.writeable = False
    return mask


def text_size(text: str, height: int, bold: bool = False) -> tuple[int, int]:
    """Width and height in pixels that `put_text` covers for a capital height in pixels."""
    mask = _glyphs(_ascii(text), height, bold)
    return mask.shape[1], mask.shape[0]


def fit(text: str, height: int, width: int) -> str:
    """Shorten a line with ".." until it fits into `width` pixels; "" where nothing does."""
    shown = text
    while shown and text_size(shown, height)[0] > width:
        text = text[:-1]
        shown = text.rstrip(" |:,") + ".." if text else ""
    return shown


def caption_lines(text: str, height: int, width: int) -> list[str]:
    """A caption in one line, or in two where it has a semicolon and is too long; none of ""."""
    first, _, rest = text.partition("; ")
    if rest and text_size(text, height)[0] > width:
        return [fit(line, height, width) for line in (f"{first};", rest)]
    return [fit(text, height, width)] if text else []


def put_text(
    image: np.ndarray,
    text: str,
    corner: tuple[int, int],
    height: int,
    color: Color = PAPER,
    bold: bool = False,
) -> None:
    """Write one line with its top left corner at (x, y); other than ASCII becomes '?'."""
    mask = _glyphs(_ascii(text), height, bold)
    x, y = corner
    _blend(image, (x, y, x + mask.shape[1], y + mask.shape[0]), color, mask)


def panel(image: np.ndarray, rect: Rect, color: Color = INK, opacity: float = 0.72) -> None:
    """Lay a translucent rectangle over the picture."""
    x0, y0, x1, y1 = rect
    if x1 > x0 and y1 > y0:
        _blend(image, rect, color, np.full((y1 - y0, x1 - x0), opacity, np.float32))


def heat(image: np.ndarray, rect: Rect, values: np.ndarray) -> None:
    """Lay a map (h, w) in [0, 1] over a rectangle: where it is 0 the picture stays as it is."""
    x0, y0, x1, y1 = rect
    if x1 > x0 and y1 > y0:
        _blend(image, rect, *heat_layer(values, x1 - x0, y1 - y0))


def timeline(
    image: np.ndarray,
    rect: Rect,
    points: Iterable[Point],
    span_ms: tuple[float, float],
    policy: Policy,
) -> None:
    """Draw scores over time: FAKE zone above, REAL zone below, one line per track.

    Args:
        image: uint8 (H, W, 3) RGB, drawn on in place.
        rect: Where; probability 1 at its top, 0 at its bottom.
        points: Clips in order of time.
        span_ms: Times of the left and right edge.
        policy: Where FAKE begins and REAL ends.
    """
    cv2 = need("cv2", "drawing on pictures")
    x0, y0, x1, y1 = rect
    tall = y1 - y0 - 1
    fake_y, real_y = (round(y0 + tall * (1 - p)) for p in (policy.fake_from, policy.real_to))
    panel(image, (x0, y0, x1, fake_y), COLORS[Label.FAKE], 0.22)
    panel(image, (x0, real_y, x1, y1), COLORS[Label.REAL], 0.22)
    panel(image, (x0, fake_y, x1, fake_y + 1), COLORS[Label.FAKE], 0.8)
    panel(image, (x0, real_y, x1, real_y + 1), COLORS[Label.REAL], 0.8)
    radius = max(2.0, tall / 18)
    scale = (x1 - x0 - 1 - 2 * radius) / max(span_ms[1] - span_ms[0], 1e-9)

    def place(time_ms: float, probability: float) -> tuple[int, int]:  # in 1/16 pixel
        x = x0 + radius + (time_ms - span_ms[0]) * scale
        y = y0 + radius + (tall - 2 * radius) * (1 - probability)
        return round(x * 16), round(y * 16)

    shown = [point for point in points if span_ms[0] <= point.time_ms <= span_ms[1]]
    for track in sorted({point.track for point in shown}):
        row = [place(point.time_ms, point.smoothed) for point in shown if point.track == track]
        path = np.array(row, np.int32).reshape(-1, 1, 2)
        cv2.polylines(image, [path], False, PAPER, max(1, round(radius / 2)), cv2.LINE_AA, 4)
    for point in shown:
        center = place(point.time_ms, point.score)
        cv2.circle(image, center, round(radius * 16), COLORS[point.label], -1, cv2.LINE_AA, 4)


def encoded(picture: np.ndarray, suffix: str, quality: int = 95) -> bytes:
    """Encode uint8 (H, W, 3) RGB as ".png", or as ".jpg" of a quality from 0 to 100.

    Raises:
        ValueError: not such a picture.
    """
    cv2 = need("cv2", "encoding pictures")
    options = (cv2.IMWRITE_JPEG_QUALITY, quality) if suffix == ".jpg" else ()
    done, data = cv2.imencode(suffix, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError(f"expected a picture (H, W, 3), received shape {picture.shape}")
    return bytes(data)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode("ascii")


def _blend(image: np.ndarray, rect: Rect, color: Color | np.ndarray, alpha: np.ndarray) -> None:
    """Mix a colour (or picture) into a rectangle by coverage (h, w), clipped to the image."""
    x0, y0, x1, y1 = rect
    left, top = max(x0, 0), max(y0, 0)
    right, bottom = min(x1, image.shape[1]), min(y1, image.shape[0])
    if right <= left or bottom <= top:
        return
    part = np.s_[top - y0 : bottom - y0, left - x0 : right - x0]
    paint = np.asarray(color, np.float32)
    paint = paint[part] if paint.ndim == 3 else paint
    weight = alpha[part][..., None]
    region = image[top:bottom, left:right]
    region[:] = np.rint(region * (1.0 - weight) + paint * weight).astype(np.uint8)

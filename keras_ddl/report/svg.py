"""SVG plots: axes, curves, bars and dots that take their colours from the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

WIDTH, HEIGHT = 360, 300
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 12, 42

Tick = tuple[float, str]


class Plot:
    """A plot in data coordinates.

    Args:
        title: For those who do not see it.
        x, y: First and last value of the axes.
        x_label, y_label: What the axes show.
        x_ticks, y_ticks: Places and their words.
        size: Width and height of the whole, pixels.
    """

    def __init__(
        self,
        title: str,
        x: tuple[float, float],
        y: tuple[float, float],
        x_label: str,
        y_label: str,
        x_ticks: Iterable[Tick],
        y_ticks: Iterable[Tick],
        size: tuple[int, int] = (WIDTH, HEIGHT),
    ) -> None:
        self._title, self._x, self._y, self._size = title, x, y, size
        width, height = size
        self._parts: list[str] = []
        for place, word in x_ticks:
            at = self.at(place, y[0])[0]
            self._parts.append(_line(at, TOP, at, height - BOTTOM, "grid"))
            self._parts.append(_text(at, height - BOTTOM + 15, word, "middle"))
        for place, word in y_ticks:
            at = self.at(x[0], place)[1]
            self._parts.append(_line(LEFT, at, width - RIGHT, at, "grid"))
            self._parts.append(_text(LEFT - 6, at + 4, word, "end"))
        self._parts.append(_text((LEFT + width - RIGHT) / 2, height - 6, x_label, "middle"))
        middle = (TOP + height - BOTTOM) / 2
        turned = f' transform="rotate(-90 11 {middle:g})"'
        self._parts.append(_text(11, middle, y_label, "middle", turned))

    def curve(self, xs: Sequence[float], ys: Sequence[float], style: str) -> None:
        """Join points by straight lines; `style` is a class of the page."""
        points = " ".join(
            "{:.1f},{:.1f}".format(*self.at(x, y)) for x, y in zip(xs, ys, strict=True)
        )
        self._parts.append(f'<polyline class="curve {style}" points="{points}"/>')

    def bar(self, left: float, right: float, low: float, high: float, style: str) -> None:
        """Fill a rectangle."""
        (x0, y0), (x1, y1) = self.at(left, high), self.at(right, low)
        self._parts.append(
            f'<rect class="bar {style}" x="{x0:.1f}" y="{y0:.1f}" '
            f'width="{max(x1 - x0 - 1, 0.5):.1f}" height="{max(y1 - y0, 0):.1f}"/>'
        )

    def dot(self, x: float, y: float, radius: float, style: str) -> None:
        """Draw a dot; the radius is in pixels."""
        at_x, at_y = self.at(x, y)
        self._parts.append(
            f'<circle class="dot {style}" cx="{at_x:.1f}" cy="{at_y:.1f}" r="{radius:.1f}"/>'
        )

    def diamond(self, x: float, y: float, radius: float, style: str) -> None:
        """Draw a square that stands on a corner; the radius is in pixels."""
        at_x, at_y = self.at(x, y)
        corners = ((0, -radius), (radius, 0), (0, radius), (-radius, 0))
        points = " ".join(f"{at_x + right:.1f},{at_y + down:.1f}" for right, down in corners)
        self._parts.append(f'<polygon class="dot {style}" points="{points}"/>')

    def stroke(self, start: tuple[float, float], end: tuple[float, float], style: str) -> None:
        """Draw a line between two pixels."""
        self._parts.append(_line(*start, *end, style))

    def word(self, at: tuple[float, float], words: str, anchor: str, style: str = "") -> None:
        """Write words from, to or around a pixel: `anchor` is `start`, `end` or `middle`."""
        self._parts.append(_text(*at, words, anchor, f' class="{style}"' if style else ""))

    def frame(self) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the axes, pixels."""
        return LEFT, TOP, self._size[0] - RIGHT, self._size[1] - BOTTOM

    def render(self) -> str:
        """Return the SVG element."""
        return (
            f'<svg viewBox="0 0 {self._size[0]} {self._size[1]}" role="img" '
            f'aria-label="{escape(self._title)}">{"".join(self._parts)}</svg>'
        )

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Return the pixel of a point; points outside lie on the rim."""
        share_x = min(max((x - self._x[0]) / (self._x[1] - self._x[0]), 0), 1)
        share_y = min(max((y - self._y[0]) / (self._y[1] - self._y[0]), 0), 1)
        left, top, right, bottom = self.frame()
        return left + share_x * (right - left), bottom - share_y * (bottom - top)


def _line(x0: float, y0: float, x1: float, y1: float, style: str) -> str:
    return f'<line class="{style}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'


def _text(x: float, y: float, words: str, anchor: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{more}>{escape(words)}</text>'

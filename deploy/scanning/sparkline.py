"""`sparkline`: scores over the length of a file, as inline SVG in the page's colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

WIDTH, HEIGHT, RIM = 192, 44, 4
FEW = 24  # up to so many points are drawn as dots too
GAP = 3.0  # the line breaks where points are so many usual distances apart


def sparkline(
    points: Sequence[Sequence[float]], thresholds: Mapping[str, float], moment: float | None
) -> str:
    """Return an SVG element; empty bands where there are no points.

    Args:
        points: [share of the length, score], both in [0, 1], in order.
        thresholds: `fake_from` and `real_to`.
        moment: Where the mark is, as a share of the length; None for no mark.
    """
    fake, real = _y(thresholds["fake_from"]), _y(thresholds["real_to"])
    parts = [
        f'<rect class="zone FAKE" width="{WIDTH}" height="{fake:.1f}"/>',
        f'<rect class="zone REAL" y="{real:.1f}" width="{WIDTH}" height="{HEIGHT - real:.1f}"/>',
    ]
    if moment is not None:
        x = _x(min(max(moment, 0.0), 1.0))
        parts.append(f'<path class="mark" d="M{x:.1f} 0V{HEIGHT}"/>')
    for run in _runs(points):
        path = "L".join(f"{_x(share):.1f} {_y(value):.1f}" for share, value in run)
        parts.append(f'<path class="scores" d="M{path}"/>')
    dots = points if len(points) <= FEW else [run[0] for run in _runs(points) if len(run) == 1]
    if dots:  # lines without length: their round ends do not stretch with the picture
        ends = "".join(f"M{_x(share):.1f} {_y(value):.1f}h0" for share, value in dots)
        parts.append(f'<path class="dots" d="{ends}"/>')
    scores = [value for _, value in points]
    words = f"scores from {min(scores):.2f} to {max(scores):.2f}" if scores else "no scores"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}" '
        f'preserveAspectRatio="none">{"".join(parts)}</svg>'
    )


def _runs(points: Sequence[Sequence[float]]) -> list[list[Sequence[float]]]:
    """Points without a long gap between them: no line where there was no face."""
    if not points:
        return []
    distances = [later[0] - earlier[0] for earlier, later in pairwise(points)]
    longest = GAP * median(distances) if distances else 0.0
    runs = [[points[0]]]
    for distance, point in zip(distances, points[1:], strict=True):
        if distance > longest:
            runs.append([])
        runs[-1].append(point)
    return runs


def _x(share: float) -> float:
    return RIM + share * (WIDTH - 2 * RIM)


def _y(value: float) -> float:
    return RIM + (1.0 - value) * (HEIGHT - 2 * RIM)

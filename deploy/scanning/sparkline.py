"""`sparkline`: scores over the length of a file, as inline SVG in the page's colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, RIM = 192, 44, 3


def sparkline(
    values: Sequence[float | None], thresholds: Mapping[str, float], moment: float | None
) -> str:
    """Return an SVG element; an empty band where there are no values.

    Args:
        values: Scores in [0, 1] at even distances over the file; None breaks the line.
        thresholds: `fake_from` and `real_to`.
        moment: Where the mark is, as a share of the length; None for no mark.
    """
    fake, real = _y(thresholds["fake_from"]), _y(thresholds["real_to"])
    parts = [
        f'<rect class="zone FAKE" width="{WIDTH}" height="{fake:.1f}"/>',
        f'<rect class="zone REAL" y="{real:.1f}" width="{WIDTH}" height="{HEIGHT - real:.1f}"/>',
    ]
    for run in _runs(values):
        points = [(_x(place, len(values)), _y(value)) for place, value in run]
        text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline class="scores" points="{text}"/>')
        if len(points) == 1:
            parts.append(
                f'<circle class="dot" cx="{points[0][0]:.1f}" cy="{points[0][1]:.1f}" r="2"/>'
            )
    if moment is not None:
        x = RIM + min(max(moment, 0.0), 1.0) * (WIDTH - 2 * RIM)
        parts.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT}"/>')
    known = [value for value in values if value is not None]
    words = f"scores from {min(known):.2f} to {max(known):.2f}" if known else "no scores"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{words}" '
        f'preserveAspectRatio="none">{"".join(parts)}</svg>'
    )


def _runs(values: Sequence[float | None]) -> list[list[tuple[int, float]]]:
    """Values without a long gap between them; clips are rarer than bins in a short file."""
    reach = max(2, len(values) // 12)
    runs: list[list[tuple[int, float]]] = []
    for place, value in enumerate(values):
        if value is None:
            continue
        if not runs or place - runs[-1][-1][0] > reach:
            runs.append([])
        runs[-1].append((place, value))
    return runs


def _x(place: int, count: int) -> float:
    return RIM + (place + 0.5) / count * (WIDTH - 2 * RIM)


def _y(value: float) -> float:
    return RIM + (1.0 - value) * (HEIGHT - 2 * RIM)

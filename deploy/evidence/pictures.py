"""The pictures in an evidence folder: crops as the model saw them, its map, the moment."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from deploy.drawing import canvas as drawing
from deploy.drawing import overlay
from deploy.judging.records import Point, ScoredClip
from deploy.judging.verdict import Policy
from keras_ddl.edge.faces.map_kind import MapKind
from keras_ddl.edge.optional_import import need

JPEG_QUALITY = 92
CAPTION = 9  # capital height in px


def png_from_clip(frames: np.ndarray) -> bytes:
    """Lay a clip, uint8 (T, S, S, 3) RGB, out in one row and encode it without loss."""
    return drawing.encoded(_row(frames), ".png")


def clip_from_png(data: bytes, frames: int, size: int) -> np.ndarray:
    """The reverse of `png_from_clip`.

    Args:
        data: The file.
        frames: T.
        size: S in pixels.

    Raises:
        ValueError: not a PNG, or of another shape.
    """
    cv2 = need("cv2", "reading stored crops")
    row = None
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        row = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    expected = (size, frames * size, 3)
    if row is None or row.dtype != np.uint8 or row.shape != expected:
        received = "no PNG" if row is None else f"{row.dtype} {row.shape}"
        raise ValueError(f"expected a PNG of uint8 {expected}, received {received}")
    clip = row[..., ::-1].reshape(size, frames, size, 3).transpose(1, 0, 2, 3)
    return np.ascontiguousarray(clip)


def png_from_heat(scored: ScoredClip, kind: MapKind) -> bytes | None:
    """The crops in one row, below the same under the map, and what it shows; None without one."""
    if scored.heat is None:
        return None
    plain = _row(scored.clip.frames)
    marked = plain.copy()
    size = len(plain)
    for index, values in enumerate(scored.heat):
        drawing.heat(marked, (index * size, 0, (index + 1) * size, size), np.nan_to_num(values))
    wide = plain.shape[1]
    lines = drawing.caption_lines(kind.caption, CAPTION, wide)
    row = drawing.text_size(kind.caption, CAPTION)[1]
    below = np.zeros((len(lines) * row, wide, 3), np.uint8)
    for number, line in enumerate(lines):
        drawing.put_text(below, line, (0, number * row), CAPTION)
    return drawing.encoded(np.vstack([plain, marked, below]), ".png")


def jpeg_of_moment(
    image: np.ndarray,
    scored: ScoredClip,
    points: Iterable[Point],
    policy: Policy,
    footer: str,
) -> bytes:
    """The frame of the verdict with its face marked, as the operator's picture has it."""
    decision = scored.decision
    track = scored.clip.track_id
    mark = overlay.FaceMark(track, scored.box, decision.label, decision.probability)
    scene = overlay.Scene(scored.time_ms, (mark,), tuple(points), policy, footer)
    return drawing.encoded(overlay.draw(image, scene), ".jpg", JPEG_QUALITY)


def _row(frames: np.ndarray) -> np.ndarray:
    """A clip, (T, S, S, 3), side by side: (S, T·S, 3)."""
    return np.concatenate(frames, axis=1)

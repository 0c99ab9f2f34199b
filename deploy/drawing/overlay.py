"""The annotated picture: a box and score per face, the recent timeline, who says so.

Sizes follow the picture, from 320x240 to 1080p and beyond. `layout` says where marks go; `draw`
changes no pixel outside those rectangles and never the picture it was given.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from deploy.drawing import canvas as drawing
from deploy.drawing.canvas import COLORS, INK, MUTED, PAPER, Rect
from deploy.judging.records import Point
from deploy.judging.session import TIMELINE_MS
from deploy.judging.verdict import Label, Policy
from keras_ddl.edge.optional_import import need

MIN_TEXT = 9  # capital height in pixels, the smallest that stays legible
TEXT_SHARE = 0.027  # capital height over the short side of the picture
BACKING = 0.9  # opacity behind text: legible on white too
STRIP_SHARE = 0.16  # height of the bottom strip over the height of the picture


@dataclass(frozen=True)
class FaceMark:
    """One face to draw.

    Attributes:
        track: Its id.
        box: x, y, w, h in pixels.
        label: The verdict.
        probability: Smoothed score; None before the first clip.
        note: Why it cannot be judged (small, blurred); empty otherwise.
        heat: Map of the face box, (h, w) in [0, 1]; None to leave it out.
    """

    track: int
    box: tuple[float, float, float, float]
    label: Label
    probability: float | None = None
    note: str = ""
    heat: np.ndarray | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Scene:
    """Everything to draw on one frame.

    `footer`, `banner` and `legend`, which says what the maps show, are one line each, "" for none.
    """

    time_ms: float
    faces: tuple[FaceMark, ...] = ()
    points: tuple[Point, ...] = ()
    policy: Policy = field(default_factory=Policy)
    footer: str = ""
    banner: str = ""
    legend: str = ""


@dataclass(frozen=True)
class Layout:
    """Where the marks go; one entry of `boxes`, `labels` and `notes` per face."""

    text: int
    line: int
    strip: Rect
    graph: Rect
    banner: Rect
    legend: Rect
    boxes: tuple[Rect, ...]
    labels: tuple[Rect, ...]
    notes: tuple[Rect, ...]


def layout(shape: tuple[int, ...], scene: Scene) -> Layout:
    """Place the marks on a picture of this shape (H, W, …)."""
    high, wide = shape[:2]
    text = max(MIN_TEXT, round(min(high, wide) * TEXT_SHARE))
    line = max(2, round(text / 5))
    small = _small(text)
    row = round(small * 1.6)
    strip = (0, high - max(round(high * STRIP_SHARE), round(3.6 * row)), wide, high)
    graph = (2 * line, strip[1] + line, wide - 2 * line, high - row - line)
    banner = (0, 0, wide, round(text * 2.0) if scene.banner else 0)
    lines = len(drawing.caption_lines(scene.legend, small, graph[2] - graph[0]))
    legend = (0, strip[1] - lines * row, wide, strip[1]) if lines else (0, 0, 0, 0)
    boxes = tuple(_box(face.box, line, shape) for face in scene.faces)
    pairs = list(zip(scene.faces, boxes, strict=True))
    labels = tuple(_label(face, box, text, line, banner[3], shape) for face, box in pairs)
    floor = legend[1] if scene.legend else strip[1]
    notes = tuple(_note(face, box, small, wide, floor) for face, box in pairs)
    return Layout(text, line, strip, graph, banner, legend, boxes, labels, notes)


def draw(image: np.ndarray, scene: Scene) -> np.ndarray:
    """Return a copy of a uint8 (H, W, 3) RGB picture with the scene drawn on it."""
    picture: np.ndarray = np.array(image, order="C")
    places = layout(picture.shape, scene)
    for face, box in zip(scene.faces, places.boxes, strict=True):
        _draw_box(picture, face, box, places.line)
    rows = zip(scene.faces, places.labels, places.notes, strict=True)
    for face, label, note in rows:
        _draw_label(picture, face, label, places, scene.policy)
        if face.note:
            drawing.panel(picture, note, INK, BACKING)
            small = _small(places.text)
            drawing.put_text(picture, face.note, note[:2], small, PAPER)
    _draw_strip(picture, scene, places)
    if scene.legend:
        drawing.panel(picture, places.legend, INK, BACKING)
        small, (left, _, right, _) = _small(places.text), places.graph
        for row, line in enumerate(drawing.caption_lines(scene.legend, small, right - left)):
            top = places.legend[1] + row * round(small * 1.6)
            drawing.put_text(picture, line, (left, top), small, PAPER)
    if scene.banner:
        color = COLORS[Label.UNCERTAIN]
        drawing.panel(picture, places.banner, color, 0.92)
        line = drawing.fit(scene.banner, places.text, places.banner[2] - 2 * places.line)
        top = (places.banner[3] - round(places.text * 1.6)) // 2
        drawing.put_text(picture, line, (places.line, top), places.text, INK, bold=True)
    return picture


def label_text(face: FaceMark) -> str:
    """What stands over a face, e.g. "FAKE 0.93"; the track's number follows in small print."""
    score = "..." if face.probability is None else f"{face.probability:.2f}"
    return f"{face.label.value} {score}"


def _small(text: int) -> int:
    return max(MIN_TEXT, round(text * 0.8))


def _box(box: tuple[float, float, float, float], line: int, shape: tuple[int, ...]) -> Rect:
    x, y, wide, high = box
    x0, y0 = max(0, round(x) - line), max(0, round(y) - line)
    x1, y1 = min(shape[1], round(x + wide) + line), min(shape[0], round(y + high) + line)
    return x0, y0, max(x0, x1), max(y0, y1)


def _label(
    face: FaceMark, box: Rect, text: int, line: int, ceiling: int, shape: tuple[int, ...]
) -> Rect:
    """Above the box where there is room, otherwise just inside its top."""
    wide, high = drawing.text_size(label_text(face), text, bold=True)
    wide += drawing.text_size(f"#{face.track}", _small(text))[0]
    high += 2 * line
    x = min(max(box[0], 0), max(0, shape[1] - wide))
    y = box[1] - high if box[1] - high >= ceiling else max(box[1], ceiling)
    return x, y, min(x + wide, shape[1]), min(y + high, shape[0])


def _note(face: FaceMark, box: Rect, small: int, right: int, floor: int) -> Rect:
    """Below the box, but not behind the strip and the line above it."""
    if not face.note:
        return 0, 0, 0, 0
    wide, high = drawing.text_size(face.note, small)
    x = min(max(box[0], 0), max(0, right - wide))
    y = min(box[3], floor - high)
    return x, y, min(x + wide, right), y + high


def _draw_box(picture: np.ndarray, face: FaceMark, box: Rect, line: int) -> None:
    """REAL thin, FAKE thick, UNCERTAIN corners only: told apart without colour too."""
    cv2 = need("cv2", "drawing on pictures")
    x0, y0, x1, y1 = box
    part = picture[y0:y1, x0:x1]
    if not part.size:
        return
    if face.heat is not None:
        x, y, wide, high = (round(value) for value in face.box)
        drawing.heat(picture, (x, y, x + wide, y + high), face.heat)
    color = COLORS[face.label]
    inset = line // 2
    right, bottom = x1 - x0 - 1 - inset, y1 - y0 - 1 - inset
    if face.label in (Label.REAL, Label.FAKE):
        stroke = line if face.label is Label.FAKE else max(1, line // 2)
        cv2.rectangle(part, (inset, inset), (right, bottom), color, stroke, cv2.LINE_AA)
        return
    reach = max(4, min(right, bottom) // 4)
    for x, dx in ((inset, reach), (right, -reach)):
        for y, dy in ((inset, reach), (bottom, -reach)):
            corner = np.array([[x + dx, y], [x, y], [x, y + dy]], np.int32)
            cv2.polylines(part, [corner], False, color, max(1, line - 1), cv2.LINE_AA)


def _draw_label(
    picture: np.ndarray, face: FaceMark, rect: Rect, places: Layout, policy: Policy
) -> None:
    x0, y0, x1, y1 = rect
    color = COLORS[face.label]
    drawing.panel(picture, rect, INK, BACKING)
    drawing.put_text(picture, label_text(face), (x0, y0), places.text, color, bold=True)
    right = x0 + drawing.text_size(label_text(face), places.text, bold=True)[0]
    small = _small(places.text)
    lower = y0 + round((places.text - small) * 1.25)  # on the same base line
    drawing.put_text(picture, f"#{face.track}", (right, lower), small, MUTED)
    bar = (x0, y1 - 2 * places.line, x1, y1)
    drawing.panel(picture, bar, PAPER, 0.25)
    if face.probability is not None:
        filled = x0 + round((x1 - x0) * face.probability)
        drawing.panel(picture, (*bar[:2], filled, bar[3]), color, 1.0)
    for threshold in (policy.real_to, policy.fake_from):
        x = x0 + round((x1 - x0) * threshold)
        drawing.panel(picture, (x, bar[1], min(x + 1, x1), bar[3]), PAPER, 1.0)


def _draw_strip(picture: np.ndarray, scene: Scene, places: Layout) -> None:
    drawing.panel(picture, places.strip, INK, BACKING)
    span = (scene.time_ms - TIMELINE_MS, scene.time_ms)
    drawing.timeline(picture, places.graph, scene.points, span, scene.policy)
    small = _small(places.text)
    for name, y in (("FAKE", places.graph[1]), ("REAL", places.graph[3] - round(small * 1.6))):
        drawing.put_text(picture, name, (places.graph[0], y), small, MUTED)
    top = places.graph[3] + 1
    clock = f"{scene.time_ms / 1000.0:.1f} s"
    wide = drawing.text_size(clock, small)[0]
    drawing.put_text(picture, clock, (places.graph[2] - wide, top), small, PAPER)
    room = places.graph[2] - places.graph[0] - wide
    line = drawing.fit(scene.footer, small, room)
    drawing.put_text(picture, line, (places.graph[0], top), small, MUTED)

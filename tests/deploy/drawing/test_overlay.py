"""What is drawn, where, and whether it can be read."""

from __future__ import annotations

import numpy as np
import pytest

from deploy.drawing import canvas as drawing
from deploy.drawing import overlay
from deploy.drawing.canvas import COLORS, INK
from deploy.drawing.overlay import FaceMark, Scene
from deploy.judging.records import Point
from deploy.judging.verdict import Label, Policy
from keras_ddl.edge.faces.map_kind import KINDS, MapKind

SHAPES = [(240, 320, 3), (480, 640, 3), (1080, 1920, 3), (1280, 720, 3)]


def picture(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def full_scene(shape: tuple[int, ...]) -> Scene:
    high, wide = shape[:2]
    heat = np.tile(np.linspace(0.2, 1, 8, dtype=np.float32), (8, 1))
    faces = (
        FaceMark(1, (0.4 * wide, 0.4 * high, 0.2 * high, 0.2 * high), Label.FAKE, 0.93, "", heat),
        FaceMark(2, (-10.0, -10.0, 60.0, 60.0), Label.REAL, 0.07),  # partly outside
        FaceMark(3, (wide - 30.0, high / 2, 60.0, 60.0), Label.UNCERTAIN, None, "too small"),
    )
    points = tuple(Point(i * 300.0, 1, i / 30, i / 30, Label.FAKE) for i in range(30))
    legend = "Grad-CAM: what raised the score"
    return Scene(9000.0, faces, points, Policy(), "model 0123 | haar", "synthetic", legend)


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return (before != after).any(axis=-1)


def inside(shape: tuple[int, ...], rects: list[drawing.Rect]) -> np.ndarray:
    mask = np.zeros(shape[:2], bool)
    for x0, y0, x1, y1 in rects:
        mask[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    return mask


@pytest.mark.parametrize("shape", SHAPES)
def test_only_the_stated_places_change(shape: tuple[int, int, int]) -> None:
    image, scene = picture(shape), full_scene(shape)
    before = image.copy()
    drawn = overlay.draw(image, scene)
    assert (image == before).all()
    places = overlay.layout(shape, scene)
    marks = [
        places.strip,
        places.banner,
        places.legend,
        *places.boxes,
        *places.labels,
        *places.notes,
    ]
    assert not (changed(image, drawn) & ~inside(shape, marks)).any()
    for mark in marks:
        if mark[2] > mark[0]:
            assert (changed(image, drawn) & inside(shape, [mark])).any()


@pytest.mark.parametrize("shape", SHAPES)
def test_without_faces_and_banner_only_the_strip_changes(shape: tuple[int, int, int]) -> None:
    image, scene = picture(shape), Scene(0.0, footer="model 0123")
    drawn = overlay.draw(image, scene)
    rows = np.flatnonzero(changed(image, drawn).any(axis=1))
    assert rows.min() >= overlay.layout(shape, scene).strip[1]
    assert rows.min() > 0.7 * shape[0]


@pytest.mark.parametrize(("shape", "least"), [(SHAPES[0], 9), (SHAPES[1], 12), (SHAPES[2], 27)])
def test_text_grows_with_the_picture(shape: tuple[int, int, int], least: int) -> None:
    assert overlay.layout(shape, Scene(0.0)).text >= least


def luminance(color: tuple[float, ...]) -> float:
    """Relative luminance as WCAG 2 defines it."""
    shares = np.asarray(color, float) / 255.0
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("label", [Label.REAL, Label.FAKE, Label.UNCERTAIN])
def test_labels_have_contrast_on_a_white_picture(label: Label) -> None:
    white = np.full((40, 40, 3), 255, np.uint8)
    drawing.panel(white, (0, 0, 40, 40), INK, overlay.BACKING)
    assert contrast(COLORS[label], tuple(white[0, 0])) >= 4.5
    assert contrast(INK, COLORS[label]) >= 4.5  # and as dark text on the colour


def test_text_reaches_its_stated_height_and_full_colour() -> None:
    image = np.zeros((40, 200, 3), np.uint8)
    drawing.put_text(image, "HEX", (5, 5), 16, (255, 255, 255), bold=True)
    rows = np.flatnonzero((image > 127).any(axis=(1, 2)))
    assert abs((rows.max() - rows.min() + 1) - 16) <= 1
    assert image.max() > 230
    wide, high = drawing.text_size("HEX", 16, bold=True)
    assert not image[:, 5 + wide :].any()
    assert not image[5 + high :].any()


def test_long_lines_are_shortened_to_fit() -> None:
    text = "model 0123456789ab | yunet | onnxruntime"
    assert drawing.fit(text, 10, 10_000) == text
    short = drawing.fit(text, 10, 120)
    assert short.endswith("..")
    assert 60 < drawing.text_size(short, 10)[0] <= 120
    assert drawing.fit(text, 10, 1) == ""


@pytest.mark.parametrize(
    ("face", "text"),
    [
        (FaceMark(1, (0, 0, 9, 9), Label.FAKE, 0.934), "FAKE 0.93"),
        (FaceMark(1, (0, 0, 9, 9), Label.REAL, 0.0), "REAL 0.00"),
        (FaceMark(1, (0, 0, 9, 9), Label.UNCERTAIN, None), "UNCERTAIN ..."),
    ],
)
def test_label_text(face: FaceMark, text: str) -> None:
    assert overlay.label_text(face) == text


def test_a_cold_map_leaves_the_face_as_it_is_and_a_hot_one_does_not() -> None:
    image = picture((64, 64, 3))
    cold, hot = image.copy(), image.copy()
    drawing.heat(cold, (8, 8, 56, 56), np.zeros((8, 8), np.float32))
    drawing.heat(hot, (8, 8, 56, 56), np.eye(8, dtype=np.float32))
    assert (cold == image).all()
    difference = np.abs(hot.astype(int) - image).mean(axis=-1)
    assert difference[11, 11] > 20  # on the diagonal
    assert difference[11, 50] < 2  # far from it


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_what_a_map_shows_is_said_in_full(kind: MapKind, shape: tuple[int, int, int]) -> None:
    """A line that lost its end would lose what the map does not show."""
    places = overlay.layout(shape, Scene(0.0, legend=kind.caption))
    small = overlay._small(places.text)
    room = places.graph[2] - places.graph[0]
    lines = drawing.caption_lines(kind.caption, small, room)
    assert " ".join(lines) == kind.caption
    assert " ".join(drawing.caption_lines(kind.caption, 9, 4 * 64)) == kind.caption  # evidence
    assert places.legend[3] - places.legend[1] == len(lines) * round(small * 1.6)


def test_points_lie_at_their_time_and_score() -> None:
    strip = np.zeros((101, 401, 3), np.uint8)
    points = [Point(0.0, 1, 1.0, 1.0, Label.FAKE), Point(1000.0, 1, 0.0, 0.0, Label.REAL)]
    drawing.timeline(strip, (0, 0, 401, 101), points, (0.0, 1000.0), Policy())
    assert tuple(strip[6, 6]) == COLORS[Label.FAKE]
    assert tuple(strip[94, 394]) == COLORS[Label.REAL]
    later = np.zeros_like(strip)
    drawing.timeline(later, (0, 0, 401, 101), points, (5000.0, 6000.0), Policy())
    nothing = np.zeros_like(strip)
    drawing.timeline(nothing, (0, 0, 401, 101), [], (5000.0, 6000.0), Policy())
    assert (later == nothing).all()  # what is past leaves the picture

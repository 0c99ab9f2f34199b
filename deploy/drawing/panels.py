"""The contact sheet's picture: crops, maps and the timeline of each video, in panels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploy.drawing import canvas as drawing
from deploy.drawing.canvas import COLORS, INK, MUTED, PAPER, Rect
from deploy.judging.records import Point
from deploy.judging.verdict import Label, Policy
from keras_ddl.edge.errors import USAGE, UserError

PICTURE = ".png"
CROPS = 6
THUMB = 176  # px
TEXT = 12  # capital height in px
PAD = 18
GAP = 6
TIMELINE = 72
ONE_COLUMN = 3  # up to so many videos stand in one column
SHEET: tuple[int, int, int] = (26, 29, 34)


@dataclass(frozen=True)
class Panel:
    """One video on the sheet.

    Attributes:
        title: Its name.
        truth: "real", "fake", or "" where nobody said.
        label: Verdict on the mean of all clips.
        probability: That mean; None without clips.
        reason: Why this verdict.
        crops: Up to six face crops, uint8 (S, S, 3) RGB.
        heats: Their maps, (h, w) in [0, 1]; empty where the model has none.
        points: One per clip of every track.
        length_ms: Duration of the video.
        policy: Thresholds of the verdict.
        caption: What the maps show, "" where there are none.
    """

    title: str
    truth: str
    label: Label
    probability: float | None
    reason: str
    crops: tuple[np.ndarray, ...]
    heats: tuple[np.ndarray, ...]
    points: tuple[Point, ...]
    length_ms: float
    policy: Policy
    caption: str = ""


def contact_sheet(panels: Sequence[Panel], heading: str) -> np.ndarray:
    """Lay the panels out and return the sheet, uint8 (H, W, 3) RGB.

    Raises:
        ValueError: no panels.
    """
    if not panels:
        raise ValueError("expected at least one panel, received none")
    columns = 1 if len(panels) <= ONE_COLUMN else 2
    rows = math.ceil(len(panels) / columns)
    wide, high = _panel_size()
    top = PAD + 2 * TEXT + PAD
    shape = (top + rows * (high + PAD), PAD + columns * (wide + PAD), 3)
    sheet = np.full(shape, SHEET, np.uint8)
    line = drawing.fit(heading, TEXT + 2, shape[1] - 2 * PAD)
    drawing.put_text(sheet, line, (PAD, PAD), TEXT + 2, PAPER)
    for index, panel in enumerate(panels):
        corner = (PAD + index % columns * (wide + PAD), top + index // columns * (high + PAD))
        _draw_panel(sheet, panel, corner)
    return sheet


def _panel_size() -> tuple[int, int]:
    wide = CROPS * THUMB + (CROPS - 1) * GAP
    return wide, 2 * TEXT + GAP + 2 * (THUMB + GAP) + 2 * TEXT + TIMELINE + 2 * TEXT


def _draw_panel(sheet: np.ndarray, panel: Panel, corner: tuple[int, int]) -> None:
    x, y = corner
    wide, _ = _panel_size()
    _draw_title(sheet, panel, corner, wide)
    y += 2 * TEXT + GAP
    for index in range(CROPS):
        left = x + index * (THUMB + GAP)
        for row, maps in enumerate(((), panel.heats)):
            top = y + row * (THUMB + GAP)
            spot = (left, top, left + THUMB, top + THUMB)
            _draw_thumb(sheet, panel, index, spot, maps)
            if row and index < len(panel.crops) and not maps:
                drawing.put_text(sheet, "no map", (left + GAP, top + GAP), TEXT, MUTED)
    y += 2 * (THUMB + GAP)
    if panel.heats:
        line = drawing.fit(panel.caption, TEXT, wide)
        drawing.put_text(sheet, line, (x, y), TEXT, MUTED)
    y += 2 * TEXT
    graph = (x, y, x + wide, y + TIMELINE)
    drawing.panel(sheet, graph, INK, 1.0)
    drawing.timeline(sheet, graph, panel.points, (0.0, panel.length_ms), panel.policy)
    drawing.put_text(sheet, "FAKE", (x + 2, y), TEXT - 2, MUTED)
    drawing.put_text(sheet, "REAL", (x + 2, graph[3] - 2 * TEXT + 6), TEXT - 2, MUTED)
    length = f"{panel.length_ms / 1000.0:.1f} s"
    drawing.put_text(sheet, "0 s", (x, graph[3] + 1), TEXT - 2, MUTED)
    right = graph[2] - drawing.text_size(length, TEXT - 2)[0]
    drawing.put_text(sheet, length, (right, graph[3] + 1), TEXT - 2, MUTED)


def _draw_title(sheet: np.ndarray, panel: Panel, corner: tuple[int, int], wide: int) -> None:
    x, y = corner
    score = "no clips" if panel.probability is None else f"{panel.probability:.2f}"
    verdict = f"{panel.label.value} {score}"
    width = drawing.text_size(verdict, TEXT, bold=True)[0]
    drawing.panel(sheet, (x + wide - width, y, x + wide, y + 2 * TEXT), COLORS[panel.label], 1.0)
    place = (x + wide - width, y + 3)
    drawing.put_text(sheet, verdict, place, TEXT, INK, bold=True)
    truth = _comparison(panel)
    left = x + wide - width - drawing.text_size(truth, TEXT)[0]
    drawing.put_text(sheet, truth, (left, y + 3), TEXT, MUTED)
    title = drawing.fit(panel.title, TEXT, left - x)
    drawing.put_text(sheet, title, (x, y + 3), TEXT, PAPER, bold=True)
    after = x + drawing.text_size(title, TEXT, bold=True)[0]
    reason = drawing.fit(panel.reason, TEXT, left - after)
    drawing.put_text(sheet, reason, (after, y + 3), TEXT, MUTED)


def _comparison(panel: Panel) -> str:
    """The true label and what the verdict is, measured by it."""
    if not panel.truth:
        return "no label, verdict"
    names = {Label.REAL: "real", Label.FAKE: "fake"}
    wrong = panel.label in names and names[panel.label] != panel.truth
    return f"labelled {panel.truth}, {'WRONG ' if wrong else ''}verdict"


def _draw_thumb(
    sheet: np.ndarray, panel: Panel, index: int, spot: Rect, maps: Sequence[np.ndarray]
) -> None:
    drawing.panel(sheet, spot, INK, 1.0)
    if index >= len(panel.crops):
        return
    sheet[spot[1] : spot[3], spot[0] : spot[2]] = panel.crops[index]
    if index < len(maps):
        drawing.heat(sheet, spot, maps[index])


def picture_path(path: Path) -> Path:
    """Return where a sheet goes: a name without an ending gets `.png`.

    Raises:
        UserError: Another ending, a folder of that name, or no folder to write in.
    """
    if path.suffix == "":
        path = path.with_suffix(PICTURE)
    if path.suffix.lower() != PICTURE:
        raise UserError(f"--out: expected a name that ends with {PICTURE}, received {path}")
    if path.is_dir() or not path.parent.is_dir():
        received = "a folder" if path.is_dir() else "one in a folder that is not there"
        raise UserError(f"--out: expected a file for the picture, received {path}, {received}")
    return path


def write_png(sheet: np.ndarray, path: Path) -> None:
    """Write an RGB picture as PNG."""
    data = drawing.encoded(sheet, ".png")
    try:
        path.write_bytes(data)
    except OSError as error:
        message = f"expected a file to write the picture to, received '{path}': {error.strerror}"
        raise UserError(message, USAGE) from error

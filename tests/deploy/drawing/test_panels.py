"""The contact sheet's picture: how large it is, and what stands where."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from deploy.drawing import panels
from deploy.drawing.canvas import COLORS
from deploy.drawing.panels import CROPS, THUMB, Panel, contact_sheet
from deploy.judging.records import Point
from deploy.judging.verdict import Label, Policy

pytest.importorskip("cv2")


def full_panel() -> Panel:
    rng = np.random.default_rng(0)
    crops = tuple(rng.integers(60, 200, (THUMB, THUMB, 3), dtype=np.uint8) for _ in range(CROPS))
    heats = (np.full((8, 8), 0.6, np.float32),) * CROPS
    points = tuple(Point(500.0 * i, 1, 0.9, 0.9, Label.FAKE) for i in range(4))
    return Panel(
        "a.mp4", "fake", Label.FAKE, 0.9, "score >= 0.60", crops, heats, points, 2e3, Policy()
    )


@pytest.mark.parametrize(
    ("truth", "label", "text"),
    [
        ("fake", Label.REAL, "labelled fake, WRONG verdict"),
        ("real", Label.FAKE, "labelled real, WRONG verdict"),
        ("fake", Label.FAKE, "labelled fake, verdict"),
        ("fake", Label.UNCERTAIN, "labelled fake, verdict"),  # said nothing wrong
        ("", Label.FAKE, "no label, verdict"),
    ],
)
def test_a_wrong_verdict_is_called_so(truth: str, label: Label, text: str) -> None:
    assert panels._comparison(Panel("", truth, label, 0.5, "", (), (), (), 1.0, Policy())) == text


@pytest.mark.parametrize(("count", "columns", "rows"), [(1, 1, 1), (3, 1, 3), (4, 2, 2), (5, 2, 3)])
def test_the_sheet_grows_with_its_panels(count: int, columns: int, rows: int) -> None:
    panel = full_panel()
    one = contact_sheet([panel], "heading").shape
    many = contact_sheet([panel] * count, "heading").shape
    wide = one[1] - panels.PAD
    assert many[1] == wide * columns + panels.PAD
    below = panels.PAD + 2 * panels.TEXT + panels.PAD
    assert many[0] == below + (one[0] - below) * rows


def test_the_sheet_shows_crops_untouched_and_the_verdicts_colour() -> None:
    panel = full_panel()
    sheet = contact_sheet([panel], "heading")
    top = panels.PAD + 2 * panels.TEXT + panels.PAD + 2 * panels.TEXT + panels.GAP
    for index, crop in enumerate(panel.crops):
        left = panels.PAD + index * (panels.THUMB + panels.GAP)
        shown = sheet[top : top + panels.THUMB, left : left + panels.THUMB]
        assert (shown == crop).all()
        below = top + panels.THUMB + panels.GAP
        heated = sheet[below : below + panels.THUMB, left : left + panels.THUMB]
        assert (heated != crop).mean() > 0.5
    header = sheet[top - 2 * panels.TEXT - panels.GAP : top].reshape(-1, 3)
    assert (header == COLORS[panel.label]).all(axis=1).sum() > 500


def test_a_line_under_the_maps_says_what_they_show() -> None:
    panel = full_panel()
    said = contact_sheet([replace(panel, caption="Grad-CAM: what raised the score")], "")
    plain = contact_sheet([panel], "")
    rows = np.flatnonzero((said != plain).any(axis=(1, 2)))
    top = panels.PAD + 2 * panels.TEXT + panels.PAD + 2 * panels.TEXT + panels.GAP
    under = top + 2 * (panels.THUMB + panels.GAP)
    assert said.shape == plain.shape
    assert under <= rows.min() and rows.max() < under + 2 * panels.TEXT


def test_a_sheet_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one panel"):
        contact_sheet([], "heading")


def test_the_map_may_be_missing() -> None:
    crops = tuple(np.full((panels.THUMB, panels.THUMB, 3), 90, np.uint8) for _ in range(4))
    panel = Panel("v.mp4", "", Label.FAKE, 0.9, "", crops, (), (), 1000.0, Policy())
    assert contact_sheet([panel], "").dtype == np.uint8

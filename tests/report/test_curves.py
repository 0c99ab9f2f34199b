"""The curves, seen through what matplotlib was asked to draw and the PNG that it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib")
cv2 = pytest.importorskip("cv2")

from matplotlib.figure import Figure

from keras_ddl.report.curves import plot_curves

HISTORY = {
    **{"loss": [0.7, 0.3, 0.1], "val_loss": [0.6, 0.4, 0.5]},
    **{"val_clip_auc": [0.6, 0.7, 0.8], "val_video_auc": [0.65, 0.9, 0.85]},
    **{"val_video_accuracy": [0.5, 0.75, 0.8], "lr": [1e-3, 1e-3, 5e-4]},
}
GAMMA = {"gamma_dfdc": [0.01, 0.02, 0.05], "gamma_msa": [0.1, 0.2, 0.3]}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved."""
    saved: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        saved.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return saved


def test_every_quantity_is_drawn_over_its_epochs(tmp_path: Path, figures: list[Figure]) -> None:
    history = {**HISTORY, **GAMMA}
    path = plot_curves(history, 2, tmp_path / "curves.png")
    (figure,) = figures
    curves = [line for axes in figure.axes for line in axes.lines if len(line.get_xdata()) == 3]
    drawn = sorted(tuple(line.get_ydata()) for line in curves)
    assert drawn == sorted(tuple(values) for values in history.values())
    assert all(tuple(line.get_xdata()) == (1, 2, 3) for line in curves)
    marks = [line for axes in figure.axes for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in marks] == [2] * 4
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]
    assert np.std(cv2.imread(str(path))) > 10


def test_without_modules_the_panel_says_so(tmp_path: Path, figures: list[Figure]) -> None:
    plot_curves(HISTORY, 1, tmp_path / "curves.png")
    texts = [text.get_text() for axes in figures[0].axes for text in axes.texts]
    assert texts == ["no modules"]

"""Sensitivity as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from keras_ddl.edge.files import atomic_write

SHOWN = 30


def plot_sensitivity(rows: Sequence[tuple[str, float]], path: Path) -> Path:
    """Draw the most sensitive layers as bars.

    Args:
        rows: (Layer, mean |Δ margin|), the most sensitive first.
        path: The PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = list(rows[:SHOWN])[::-1]
    figure = Figure(figsize=(8, 1.2 + 0.22 * len(shown)), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    axes.barh([name for name, _ in shown], [value for _, value in shown], color="#4878a8")
    axes.set_xlabel("mean |Δ margin| when this layer alone is int8 (logit fake − logit real)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="x", alpha=0.25)
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png")
    return path

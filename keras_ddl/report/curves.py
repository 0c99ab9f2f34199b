"""The curves of a training, as a PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keras_ddl.edge.files import atomic_write

_TRAIN, _VAL, _THIRD, _BEST = "#4878a8", "#d1662c", "#5a9a5a", "#888888"
_PANELS = {
    "Cross-entropy": {"loss": ("training", _TRAIN), "val_loss": ("validation", _VAL)},
    "Validation": {
        "val_clip_auc": ("AUC of clips", _TRAIN),
        "val_video_auc": ("AUC of videos", _VAL),
        "val_video_accuracy": ("accuracy of videos", _THIRD),
    },
    "Mean |γ| of the modules (0 = unused)": {
        "gamma_dfdc": ("DFDC", _TRAIN),
        "gamma_msa": ("MSA", _VAL),
    },
    "Learning rate": {"lr": ("last step of the epoch", _TRAIN)},
}
"""By title what a panel shows of a history, each with its words and its colour."""


def plot_curves(history: Mapping[str, Sequence[float]], best_epoch: int, path: Path) -> Path:
    """Draw loss, AUC, the modules' γ and the learning rate over the epochs; mark the selected one.

    Args:
        history: Per quantity its value at each epoch; quantities that are absent are left out.
        best_epoch: The selected epoch, from 1.
        path: The PNG to write.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(2, 2).ravel()
    for panel, title in zip(axes, _PANELS, strict=True):
        _panel(panel, history, best_epoch, title)
    axes[1].set_ylim(min(0.4, axes[1].get_ylim()[0]), 1.02)
    axes[2].set_ylim(bottom=0)
    axes[3].set_yscale("log")
    with atomic_write(path) as partial:
        figure.savefig(partial, format="png")
    return path


def _panel(axes: Any, history: Mapping[str, Sequence[float]], best_epoch: int, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.set_title(title, fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    shown = {name: style for name, style in _PANELS[title].items() if name in history}
    for name, (label, color) in shown.items():
        values = history[name]
        axes.plot(range(1, len(values) + 1), values, "o-", ms=3, color=color, label=label)
    if not shown:
        axes.text(0.5, 0.5, "no modules", ha="center", transform=axes.transAxes, color=_BEST)
        return
    axes.axvline(best_epoch, color=_BEST, ls="--", lw=1, label=f"selected: epoch {best_epoch}")
    axes.legend(fontsize=8, frameon=False)

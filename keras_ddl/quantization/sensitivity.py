"""Sensitivity of the network to each layer's rounding alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_ddl.edge.files import atomic_write
from keras_ddl.evaluation.calibration import margins_from_logits
from keras_ddl.framework import keras
from keras_ddl.layers import QuantPoint
from keras_ddl.networks.keras_graph import KerasGraph
from keras_ddl.quantization.quantise import PADDING, quant_points, rounded_layers, set_active

SHOWN = 30  # layers in the picture


def groups(model: keras.Model) -> dict[str, list[Any]]:
    """What is rounded for the sake of each layer: its kernels, and the quantisers it reads.

    Returns:
        Layer → objects with `active`; a module is one layer. A quantiser that several layers read
        is in the group of each.
    """
    found: dict[str, list[Any]] = {}
    quantisers = quant_points(model)
    for name, part in (*quantisers.items(), *rounded_layers(model).items()):
        layer, _, inner = name.partition("/")
        if inner or not isinstance(part, QuantPoint):
            found.setdefault(layer, []).append(getattr(part, "rounded", part))
    graph = KerasGraph(model)
    readers = graph.readers()
    for node in graph.nodes.values():
        points = [layer for layer in map(model.get_layer, node.sources) if layer.name in quantisers]
        reader = node
        while reader.kind == PADDING:
            reader = graph.nodes[readers[reader.name][0]]
        if points:
            found.setdefault(reader.name, []).extend(points)
    return found


def sensitivity(
    model: keras.Model, clips: np.ndarray, progress: bool = True
) -> list[tuple[str, float]]:
    """Round one layer at a time.

    Args:
        model: Of `quantise.quantised`, calibrated.
        clips: uint8 (N, T, S, S, 3).
        progress: Show a bar.

    Returns:
        (Layer, mean |Δ margin|), the most sensitive first. The margin is logit fake − logit real.
    """
    from tqdm import tqdm

    parts = groups(model)
    set_active(model, False)
    try:
        exact = _margins(model, clips)
        found = []
        bar: Iterable[str] = tqdm(parts, desc="sensitivity", unit="layer", disable=not progress)
        for layer in bar:
            for part in parts[layer]:
                part.active = True
            found.append((layer, float(np.abs(_margins(model, clips) - exact).mean())))
            for part in parts[layer]:
                part.active = False
    finally:
        set_active(model, True)
    return sorted(found, key=lambda row: -row[1])


def _margins(model: keras.Model, clips: np.ndarray) -> np.ndarray:
    rows = [model(clip[None], training=False).numpy() for clip in clips]
    return margins_from_logits(np.concatenate(rows))


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

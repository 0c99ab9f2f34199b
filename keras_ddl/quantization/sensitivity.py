"""Sensitivity of the network to each layer's rounding alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_ddl.evaluation.calibration import margins_from_logits
from keras_ddl.framework import keras
from keras_ddl.layers import QuantPoint
from keras_ddl.networks.keras_graph import KerasGraph
from keras_ddl.quantization.quantise import PADDING, quant_points, rounded_layers, set_active


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

"""Graphs of an untrained network: they cost what a trained one's cost, and mean nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx

FORMS = ("fp32", "int8", "int8, CPU form")
RANGE = 4.0  # of what convolutions give; any will do


def untrained_graphs(
    forms: Sequence[str], size: int = 256, frames: int = 8, width: float = 1.0
) -> tuple[float, dict[str, onnx.ModelProto]]:
    """Compact Xception with both modules, without its map, in some of `FORMS`.

    The ranges of int8 are those of noise: speed asks for no more.

    Args:
        forms: Which.
        size: Side of a crop in pixels.
        frames: Of a clip.
        width: Factor on channels.

    Returns:
        GMAC of a clip, and form → graph.
    """
    import numpy as np

    from benchmarks.modules import wake
    from export.graph.cpu_int8 import cpu_int8, open_results
    from export.to_onnx import onnx_from_keras
    from keras_ddl.framework import keras
    from keras_ddl.networks.cost import macs
    from keras_ddl.networks.model import build_model
    from keras_ddl.quantization.calibration import calibrate
    from keras_ddl.quantization.quantise import quantised

    keras.utils.set_random_seed(0)
    model = build_model("compact_xception", ("dfdc", "msa"), frames, size, width=width)
    wake(model)
    graphs: dict[str, onnx.ModelProto] = {}
    if FORMS[0] in forms:
        graphs[FORMS[0]] = onnx_from_keras(model, inconsistency_map=False)
    if set(forms) & set(FORMS[1:]):
        int8 = quantised(model)
        noise = np.random.default_rng(0).integers(0, 256, (1, frames, size, size, 3), np.uint8)
        calibrate(int8, [noise])
        rounded = onnx_from_keras(int8, inconsistency_map=False)
        graphs[FORMS[1]] = rounded
        graphs[FORMS[2]] = cpu_int8(rounded, dict.fromkeys(open_results(rounded), RANGE))
    return sum(macs(model).values()) / 1e9, {form: graphs[form] for form in forms}

"""The shipped preview in int8, CPU form, to measure beside it.

Its ranges are those of drawn faces, as the preview carries no footage: it costs what an int8 form
of a run of one's own costs, and what it says of faces means nothing.
"""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

from keras_ddl.edge.bundle import PRETRAINED, read_spec
from keras_ddl.edge.clipspec import ClipSpec

PEOPLE, SECONDS = 8, 2


def preview_int8(out: Path) -> Path:
    """Write the bundle and return its folder; in a process of its own, which has TensorFlow.

    Raises:
        UserError: the preview is not here, or a package that exports (3).
    """
    read_spec(PRETRAINED)  # says what is missing before the long part
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        return pool.submit(_write, out).result()


def _write(out: Path) -> Path:
    from export.bundle_writer import write_bundle
    from export.conversion.onnx_from_keras import onnx_from_keras
    from export.graph.precision import Form, in_form
    from keras_ddl.build_network import load_run
    from keras_ddl.quantization.calibration import calibrate
    from keras_ddl.quantization.quantise import quantised

    model, _, spec = load_run(PRETRAINED)
    clips = drawn_clips(spec)
    int8 = quantised(model)
    calibrate(int8, (clip[None] for clip in clips))
    graph = onnx_from_keras(int8, temperature=spec.temperature)
    graph = in_form(graph, Form("int8", cpu=True), clips, lambda: clips)
    return write_bundle(out, graph, spec, lambda candidate: None)


def drawn_clips(spec: ClipSpec) -> np.ndarray:
    """Clips of drawn people, real and forged: uint8 (N, T, S, S, 3)."""
    from deploy.sources import open_source
    from keras_ddl.edge.clipper import FaceClipper
    from keras_ddl.edge.faces import open_detector

    clips: list[np.ndarray] = []
    for seed in range(PEOPLE):
        address = f"synthetic://?live=0&seconds={SECONDS}&seed={seed}&fake={seed % 2}"
        clipper = FaceClipper(spec, open_detector(), stride_ms=1000.0 * SECONDS / 4)
        with open_source(address) as source:
            for frame in source:
                clips += [clip.frames for clip in clipper.push(frame).clips]
    return np.stack(clips)

"""Choice of a bundle's model: an engine that fits this machine, else the ONNX graph."""

from __future__ import annotations

import logging
from pathlib import Path

from deploy.backends.gpu import gpus
from deploy.backends.sidecar import check_engine
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import MISSING, USAGE, UserError

log = logging.getLogger(__name__)

BACKENDS = ("auto", "onnx", "tensorrt")


def choose_model(bundle: Path, backend: str = "auto") -> Path:
    """Return what `open_bundle` shall open: the bundle's folder, or one of its engines.

    Args:
        bundle: A bundle, or an engine by name, which is what is run then.
        backend: "onnx": the graph. "tensorrt": the newest engine under `bundle/trt` that was built
            for this machine and this graph. "auto": such an engine if there is one, else the graph;
            engines that do not fit are named in the log, unless there is no GPU at all.

    Raises:
        UserError: an engine and "onnx" (2); "tensorrt" and no engine that fits (3, with reasons).
    """
    if bundle.suffix == ".engine":
        if backend == "onnx":
            raise UserError(f"expected a bundle for --backend onnx, received '{bundle}'", USAGE)
        return bundle
    if backend == "onnx" or (backend == "auto" and not gpus()):
        return bundle
    engines = sorted(bundle.glob("trt/*.engine"), key=lambda path: -path.stat().st_mtime)
    reasons = []
    for engine in engines:
        try:
            check_engine(engine)
        except UserError as error:
            reasons.append(str(error))
            continue
        return engine
    if backend == "tensorrt":
        why = reasons[0] if reasons else f"expected an engine in '{bundle / 'trt'}', found none"
        raise UserError(f"{why}; build one: {typed('to-trt')} --fp16 {bundle}", MISSING)
    for reason in reasons:
        log.warning("not used: %s", reason)
    return bundle

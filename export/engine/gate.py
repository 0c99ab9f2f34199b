"""Build an engine beside its final place, prove it, and only then put it there."""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from deploy.backends import open_backend
from deploy.backends.gpu import Gpu
from deploy.backends.sidecar import EngineSidecar, sidecar_path, system_name
from deploy.backends.trt import TrtBackend
from export.engine.build import engine_from_onnx
from export.engine.layers import layers_from_inspector, require_precision, summary
from export.engine.options import BuildOptions
from export.engine.plan import BuildFiles
from export.engine.prepare import PreparedGraph
from export.engine.speed import speed, table
from export.parity.agreement import Tolerance
from export.parity.runtime_parity import compare_runtimes, require_parity
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.files import file_sha256, write_json

SLOWEST = 15  # layers shown of a profile


def build_engine(
    files: BuildFiles,
    prepared: PreparedGraph,
    spec: ClipSpec,
    gpu: Gpu,
    options: BuildOptions,
    strongly_typed: bool,
    clips: np.ndarray,
    labels: np.ndarray | None,
    tolerance: Tolerance,
    profile: bool = False,
) -> EngineSidecar:
    """Build, check and install the engine of one precision.

    The checks, in order: the layers have the precision that was asked for; the answers are those
    of ONNX Runtime with the bundle's own graph; then the speed is measured.

    Args:
        files: Where everything lies; the prepared graph is written already.
        prepared: The graph.
        spec: The bundle's contract.
        gpu: What is built for.
        options: As asked for.
        strongly_typed: Whether the graph's types are binding.
        clips: uint8 ``(N, T, S, S, 3)`` to compare on.
        labels: ``(N,)``, 1 = fake; None where they are not known.
        tolerance: How far the answers may lie apart.
        profile: Measure and show the time of each layer.

    Raises:
        UserError: the build or a check failed; an earlier engine is then untouched.
    """
    trt = importlib.import_module("tensorrt")
    shape = (spec.frames, spec.size, spec.size, 3)
    plan = engine_from_onnx(
        trt, files.graph.read_bytes(), shape, files.precision, strongly_typed, options,
        prepared.float_nodes,
    )  # fmt: skip
    work = files.folder / f".{files.precision}.{os.getpid()}.part"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        path = work / files.engine.name
        path.write_bytes(plan)
        sidecar = EngineSidecar(
            engine_sha256=file_sha256(path),
            onnx_sha256=file_sha256(files.graph),
            bundle_sha256=file_sha256(files.bundle / "model.onnx"),
            precision=files.precision,
            strongly_typed=strongly_typed,
            tensorrt=str(trt.__version__),
            gpu=gpu.name,
            compute_capability=gpu.compute_capability,
            system=system_name(),
            profile=options.profile,
            hardware_compatible=options.hardware_compatible,
            version_compatible=options.version_compatible,
            dla_core=options.dla_core,
            metadata={entry.key: entry.value for entry in prepared.proto.metadata_props},
        )
        sidecar.write(path)
        report = _prove(path, files, clips, labels, spec, tolerance, profile)
        layers = report.pop("layer_list")
        sidecar = EngineSidecar(**{**vars(sidecar), "report": report})
        sidecar.write(path)
        write_json(files.layers, layers)
        sidecar_path(path).replace(sidecar_path(files.engine))
        path.replace(files.engine)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return sidecar


def _prove(
    path: Path,
    files: BuildFiles,
    clips: np.ndarray,
    labels: np.ndarray | None,
    spec: ClipSpec,
    tolerance: Tolerance,
    profile: bool,
) -> dict[str, Any]:
    report: dict[str, Any] = {}
    with TrtBackend(path) as candidate:
        layers = layers_from_inspector(candidate.layer_information())
        print(f"layers: {summary(layers)}")
        require_precision(layers, files.precision)
        with open_backend(files.bundle / "model.onnx") as reference:
            smallest = candidate.sidecar.profile["min"]
            parity = compare_runtimes(reference, candidate, clips, spec.threshold, smallest, labels)
        print(f"parity on {len(clips)} clips: {parity}")
        require_parity(parity, tolerance, f"the {files.precision} engine")
        times = candidate.layer_times({"clip": _batch(candidate, clips)}) if profile else {}
        batches = sorted(set(candidate.sidecar.profile.values()))
    for slowest in sorted(times, key=lambda name: -times[name])[:SLOWEST]:
        print(f"  {times[slowest]:.3f} ms  {slowest}")
    rows = []
    for graph in (False, True):
        with open_backend(path, cuda_graph=graph) as backend:
            mode = "CUDA graph" if graph else "no graph"
            rows += [{"mode": mode, **row} for row in speed(backend, batches)]
    print(f"latency and throughput of the engine:\n{table(rows)}")
    report["layer_list"] = [{**vars(layer), "ms": times.get(layer.name)} for layer in layers]
    return {
        **report,
        "layers": summary(layers),
        "parity": {**vars(parity), "tolerance": vars(tolerance)},
        "speed": rows,
    }


def _batch(backend: TrtBackend, clips: np.ndarray) -> np.ndarray:
    """As many clips as the engine is tuned for, repeated where there are fewer."""
    size = backend.sidecar.profile["opt"]
    return np.ascontiguousarray(np.resize(clips, (size, *clips.shape[1:])))

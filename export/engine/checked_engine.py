"""An engine on disk: built beside its final place, checked, and only then put there."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from deploy.backends import Backend, open_backend
from deploy.backends.gpu import Gpu
from deploy.backends.sidecar import EngineSidecar, sidecar_path, system_name
from deploy.backends.trt import TrtBackend
from export.bundle_writer import part_folder
from export.engine.build import engine_from_onnx
from export.engine.job import Job
from export.engine.layers import layers_from_inspector, require_precision, summary
from export.engine.prepare import PreparedGraph
from export.parity.prove import Candidate, prove
from export.parity.runtimes import ask, ask_file
from keras_ddl.edge.files import file_sha256, write_json

SLOWEST = 15  # layers shown of a profile
WARM_UP, ROUNDS = 20, 200
PERCENTILES = (50, 90, 99)


def checked_engine(job: Job, precision: str, prepared: PreparedGraph, gpu: Gpu) -> EngineSidecar:
    """Build, check and install the engine of one precision.

    The checks, in order: the layers have the precision that was asked for; the answers are those
    of ONNX Runtime with the bundle's own graph; then the speed is measured.

    Args:
        job: The bundle; the prepared graph lies beside it already.
        precision: "fp32", "fp16" or "int8".
        prepared: The graph.
        gpu: What is built for.

    Raises:
        UserError: the build or a check failed; an earlier engine is then untouched.
    """
    files = job.files(precision)
    trt = importlib.import_module("tensorrt")
    plan = engine_from_onnx(
        trt,
        files.graph.read_bytes(),
        (job.spec.frames, job.spec.size, job.spec.size, 3),
        precision,
        job.target.strongly_typed,
        job.options,
        prepared.float_nodes,
    )
    with part_folder(files.folder / precision) as work:
        path = work / files.engine.name
        path.write_bytes(plan)
        sidecar = _sidecar(job, precision, prepared, gpu, path, str(trt.__version__))
        sidecar.write(path)
        report, layers = _prove(path, job, precision)
        sidecar = replace(sidecar, report=report)
        sidecar.write(path)
        write_json(files.layers, layers)
        sidecar_path(path).replace(sidecar_path(files.engine))
        path.replace(files.engine)
    return sidecar


def _sidecar(
    job: Job, precision: str, prepared: PreparedGraph, gpu: Gpu, path: Path, version: str
) -> EngineSidecar:
    files = job.files(precision)
    return EngineSidecar(
        engine_sha256=file_sha256(path),
        onnx_sha256=file_sha256(files.graph),
        bundle_sha256=file_sha256(files.model),
        precision=precision,
        strongly_typed=job.target.strongly_typed,
        tensorrt=version,
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        system=system_name(),
        profile=job.options.profile,
        hardware_compatible=job.options.hardware_compatible,
        version_compatible=job.options.version_compatible,
        dla_core=job.options.dla_core,
        metadata={entry.key: entry.value for entry in prepared.proto.metadata_props},
    )


def _prove(path: Path, job: Job, precision: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The sidecar's report, and the engine's layers."""
    clips, limits = job.clips.compared, job.limits(precision)
    with TrtBackend(path) as built:
        layers = layers_from_inspector(built.layer_information())
        print(f"layers: {summary(layers)}")
        require_precision(layers, precision)
        sizes = built.sidecar.profile
        candidate = Candidate(f"the {precision} engine", partial(ask, built, batch=sizes["min"]))
        reference = partial(ask_file, job.files(precision).model)
        parity = prove(reference, candidate, clips, limits, print).agreement
        # As many clips as it is tuned for, repeated where there are fewer.
        batch = np.resize(clips.clips, (sizes["opt"], *clips.clips.shape[1:]))
        times = built.layer_times({"clip": np.ascontiguousarray(batch)}) if job.profile else {}
    for slowest in sorted(times, key=lambda name: -times[name])[:SLOWEST]:
        print(f"  {times[slowest]:.3f} ms  {slowest}")
    rows = []
    for graph in (False, True):
        with open_backend(path, cuda_graph=graph) as backend:
            mode = "CUDA graph" if graph else "no graph"
            rows += [{"mode": mode, **row} for row in speed(backend, sorted({*sizes.values()}))]
    print(f"latency and throughput of the engine:\n{table(rows)}")
    report = {
        "layers": summary(layers),
        "parity": {**vars(parity), "tolerance": vars(limits.tolerance)},
        "speed": rows,
    }
    return report, [{**vars(layer), "ms": times.get(layer.name)} for layer in layers]


def speed(backend: Backend, batches: Sequence[int]) -> list[dict[str, Any]]:
    """Time whole calls: copy in, compute, copy out.

    Args:
        backend: With one uint8 input ``clip``.
        batches: Clips in a batch; of each size `ROUNDS` calls, after `WARM_UP` untimed ones.

    Returns:
        Per size ``{"batch", "p50_ms", "p90_ms", "p99_ms", "clips_per_s"}``, the last from the
        median.
    """
    (spec,) = backend.inputs
    rows = []
    for batch in batches:
        shape = (batch, *(size or 1 for size in spec.shape[1:]))
        clip = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        for _ in range(WARM_UP):
            backend.infer({spec.name: clip})
        times = []
        for _ in range(ROUNDS):
            start = perf_counter()
            backend.infer({spec.name: clip})
            times.append(1000 * (perf_counter() - start))
        values = np.percentile(times, PERCENTILES)
        row = {f"p{p}_ms": float(v) for p, v in zip(PERCENTILES, values, strict=True)}
        rows.append({"batch": batch, **row, "clips_per_s": 1000 * batch / float(values[0])})
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as text, one line each."""
    return "\n".join(
        f"  batch {row['batch']}, {row.get('mode', '')}: p50 {row['p50_ms']:.2f}, "
        f"p90 {row['p90_ms']:.2f}, p99 {row['p99_ms']:.2f} ms, {row['clips_per_s']:.1f} clips/s"
        for row in rows
    )

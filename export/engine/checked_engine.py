"""An engine on disk: built beside its final place, checked, and only then put there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from deploy.backends import Backend, open_backend
from deploy.backends.library import in_words
from deploy.backends.sidecar import EngineSidecar, sidecar_path, system_name
from deploy.backends.trt import TrtBackend
from export.bundle_writer import part_folder
from export.engine.build import engine_from_onnx
from export.engine.job import Job
from export.engine.layers import EngineLayer, layers_from_inspector, require_precision, summary
from export.engine.network import NetworkLayer, network_report, network_summary
from export.engine.plan import add_network
from export.engine.prepare import PreparedGraph
from export.parity.prove import Candidate, prove
from export.parity.runtimes import ask, ask_file
from keras_ddl.edge.files import file_sha256, write_json

SLOWEST = 15  # layers shown of a profile
WARM_UP, ROUNDS = 20, 200
PERCENTILES = (50, 90, 99)


def checked_engine(job: Job, precision: str, prepared: PreparedGraph) -> EngineSidecar:
    """Build, check and install the engine of one precision.

    The checks, in order: the layers have the precision that was asked for; the answers are those
    of ONNX Runtime with the bundle's own graph; then the speed is measured. Where the engine cannot
    run, as one of TensorRT-RTX without a GPU, the first alone is left, of the parsed network, and
    the sidecar says so.

    Args:
        job: The bundle; the prepared graph and the plan lie beside it already.
        precision: "fp32", "fp16" or "int8".
        prepared: The graph.

    Raises:
        UserError: the build or a check failed; an earlier engine is then untouched.
    """
    files = job.files(precision)
    trt = job.machine.library.load()
    network: list[NetworkLayer] = []
    start = perf_counter()
    plan = engine_from_onnx(
        trt,
        files.graph.read_bytes(),
        (job.spec.frames, job.spec.size, job.spec.size, 3),
        precision,
        job.target.strongly_typed,
        job.options,
        prepared.float_nodes,
        partial(_seen, job, precision, network),
    )
    seconds = perf_counter() - start
    built = f"{len(plan) / 1e6:.1f} MB, built in {seconds:.1f} s"
    with part_folder(files.folder / precision) as work:
        path = work / files.engine.name
        path.write_bytes(plan)
        sidecar = _sidecar(job, precision, prepared, path)
        sidecar.write(path)
        print(f"{files.engine}: {built} by {job.machine.library.name} {sidecar.tensorrt}")
        if job.not_run:
            report, layers = _not_run(job, network)
        else:
            report, layers = _prove(path, job, precision, network)
        report["build"] = {"seconds": round(seconds, 2), "bytes": len(plan)}
        sidecar = replace(sidecar, report=report)
        sidecar.write(path)
        write_json(files.layers, layers)
        sidecar_path(path).replace(sidecar_path(files.engine))
        path.replace(files.engine)
    return sidecar


def _seen(
    job: Job, precision: str, network: list[NetworkLayer], layers: list[NetworkLayer]
) -> None:
    """Report what the parsed network computes in; refuse one without the asked precision."""
    network += layers
    found = network_report(layers, f"{job.machine.library.name} {job.machine.version}")
    add_network(job.files(precision).plan, found)
    print(f"  {network_summary(found)}")
    if job.machine.library.portable:  # of TensorRT the inspector tells, of the engine itself
        require_precision(_as_engine_layers(layers), precision)


def _as_engine_layers(network: Sequence[NetworkLayer]) -> list[EngineLayer]:
    return [EngineLayer(row.name, row.kind, row.precision) for row in network]


def _not_run(
    job: Job, network: Sequence[NetworkLayer]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The report of an engine that cannot run here, and the parsed network's layers."""
    layers = _as_engine_layers(network)
    report = {
        "run": f"built here, not run here: {job.not_run}",
        "runs_on": f"compute capability {in_words(job.options.compute_capabilities)}",
        "layers": summary(layers),
    }
    return report, [{**vars(layer), "ms": None} for layer in layers]


def _sidecar(job: Job, precision: str, prepared: PreparedGraph, path: Path) -> EngineSidecar:
    files, machine, options = job.files(precision), job.machine, job.options
    portable = machine.library.portable
    gpu = None if portable else machine.gpu
    return EngineSidecar(
        engine_sha256=file_sha256(path),
        onnx_sha256=file_sha256(files.graph),
        bundle_sha256=file_sha256(files.model),
        precision=precision,
        strongly_typed=job.target.strongly_typed,
        tensorrt=str(machine.version),
        gpu=gpu.name if gpu else None,
        compute_capabilities=(gpu.compute_capability,) if gpu else options.compute_capabilities,
        system=system_name(),
        profile=options.profile,
        hardware_compatible=options.hardware_compatible,
        version_compatible=options.version_compatible,
        dla_core=options.dla_core,
        metadata={entry.key: entry.value for entry in prepared.proto.metadata_props},
        library=machine.library.key,
    )


def _prove(
    path: Path, job: Job, precision: str, network: Sequence[NetworkLayer]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The sidecar's report, and the engine's layers; of TensorRT-RTX the network's."""
    clips, limits = job.clips.compared, job.limits(precision)
    with TrtBackend(path) as built:
        layers = _as_engine_layers(network)
        if not job.machine.library.portable:
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
        "run": "built and run here",
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

"""Build plan: how an engine comes of a prepared graph, as JSON beside it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from export.engine.job import BuildFiles, Job
from export.engine.options import FLAGS, BuildOptions, command_line
from export.engine.prepare import PreparedGraph
from export.engine.target import Target
from keras_ddl import __version__
from keras_ddl.edge.files import file_sha256, read_json, write_json


def precision_flags(precision: str, target: Target) -> list[str]:
    """The names that ask this version for this precision."""
    if target.strongly_typed:
        return ["NetworkDefinitionCreationFlag.STRONGLY_TYPED"]
    return [f"BuilderFlag.{name}" for name in FLAGS[precision]]


def write_plan(job: Job, precision: str, prepared: PreparedGraph) -> dict[str, Any]:
    """Write the plan of a build and return it.

    Args:
        job: The bundle, what it is built for and with.
        precision: "fp32", "fp16" or "int8"; its prepared graph is written already.
        prepared: What was done to the graph.
    """
    files, target, options, machine = job.files(precision), job.target, job.options, job.machine
    sizes = prepared.proto.graph.input[0].type.tensor_type.shape.dim
    shape = [size.dim_value for size in sizes][1:]
    tool = "tensorrt_rtx" if target.library.portable else "trtexec"
    plan = {
        "precision": precision,
        "library": target.library.name,
        "tensorrt": ".".join(map(str, target.version)),
        "typing": "strong" if target.strongly_typed else "by flags",
        "flags": precision_flags(precision, target),
        "float32_nodes": list(prepared.float_nodes),
        "profile": {name: {"clip": [size, *shape]} for name, size in options.profile.items()},
        "options": {
            key: str(value) if isinstance(value, Path) else value
            for key, value in asdict(options).items()
        },
        "onnx": files.graph.name,
        "onnx_sha256": file_sha256(files.graph),
        "opset": prepared.proto.opset_import[0].version,
        "bundle_sha256": file_sha256(files.model),
        "notes": list(prepared.notes),
        "machine": {
            "tensorrt": machine.version,
            "gpu": machine.gpu.name if machine.gpu else None,
            "missing": str(machine.missing) if machine.missing else None,
        },
        "versions": {"keras_ddl": __version__, "rules": target.table.source},
        "commands": {
            "build": command_line(options, precision, job.bundle, target.library),
            tool: _trtexec(files, target, options, shape),
        },
    }
    write_json(files.plan, plan)
    return plan


def add_network(path: Path, report: dict[str, Any]) -> None:
    """Add to a written plan what the parsed network computes in."""
    write_json(path, {**read_json(path), "network": report})


def _trtexec(files: BuildFiles, target: Target, options: BuildOptions, shape: list[int]) -> str:
    """The same build with NVIDIA's own tool, for a second opinion; it pins no float32 layers."""
    sizes = {name: "x".join(map(str, (size, *shape))) for name, size in options.profile.items()}
    tool = "tensorrt_rtx" if target.library.portable else "trtexec"
    words = [f"{tool} --onnx={files.graph.name} --saveEngine={files.engine.name}"]
    words += [f"--{name}Shapes=clip:{text}" for name, text in sizes.items()]
    if target.library.portable:
        return " ".join(words)
    words += [f"--memPoolSize=workspace:{options.workspace_mib}"]
    words += [f"--builderOptimizationLevel={options.optimisation_level}"]
    if target.strongly_typed:
        words += ["--stronglyTyped"] if target.version < (11, 0) else []
    else:
        flags = {"fp32": "--noTF32", "fp16": "--fp16", "int8": "--fp16 --int8"}
        words += [flags[files.precision]]
    return " ".join(words)

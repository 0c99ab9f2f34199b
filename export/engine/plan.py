"""The files of one build beside a bundle, and the plan that says how an engine comes of them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from export.engine.options import BuildOptions, command_line
from export.engine.prepare import PreparedGraph
from export.engine.rules import Target
from keras_ddl import __version__
from keras_ddl.edge.files import file_sha256, write_json

if TYPE_CHECKING:
    import onnx

FOLDER = "trt"


@dataclass(frozen=True)
class BuildFiles:
    """Where the files of one precision lie."""

    bundle: Path
    precision: str

    @property
    def folder(self) -> Path:
        """Of all builds; goes with the bundle when that is exported again."""
        return self.bundle / FOLDER

    @property
    def graph(self) -> Path:
        """The prepared graph."""
        return self.folder / f"model.{self.precision}.onnx"

    @property
    def plan(self) -> Path:
        """How the engine is built, as JSON."""
        return self.folder / f"plan.{self.precision}.json"

    @property
    def engine(self) -> Path:
        """The engine; its sidecar lies beside it."""
        return self.folder / f"model.{self.precision}.engine"

    @property
    def layers(self) -> Path:
        """Name, type, precision and, where profiled, time of each layer."""
        return self.folder / f"layers.{self.precision}.json"

    def write_candidate(self, proto: onnx.ModelProto) -> Path:
        """Write a graph that is yet to be checked; one that is refused stays, to be looked into."""
        self.folder.mkdir(exist_ok=True)
        candidate = self.folder / f"refused.{self.precision}.onnx"
        candidate.write_bytes(proto.SerializeToString(deterministic=True))
        return candidate


def precision_flags(precision: str, target: Target) -> list[str]:
    """The names that ask this version for this precision."""
    if target.strongly_typed:
        return ["NetworkDefinitionCreationFlag.STRONGLY_TYPED"]
    names = {"fp32": [], "fp16": ["FP16"], "int8": ["FP16", "INT8"]}[precision]
    extra = ["OBEY_PRECISION_CONSTRAINTS"] if names else []
    return [f"BuilderFlag.{name}" for name in (*names, *extra)]


def write_plan(
    files: BuildFiles,
    prepared: PreparedGraph,
    target: Target,
    options: BuildOptions,
    machine: dict[str, Any],
) -> dict[str, Any]:
    """Write the plan of a build and return it.

    Args:
        files: Of this precision; the prepared graph is written already.
        prepared: What was done to the graph.
        target: TensorRT's version and typing.
        options: As asked for.
        machine: What was found here: "tensorrt", "gpu", "missing".
    """
    shape = [
        d.dim_value for d in prepared.proto.graph.input[0].type.tensor_type.shape.dim
    ][1:]  # fmt: skip
    plan = {
        "precision": files.precision,
        "tensorrt": ".".join(map(str, target.version)),
        "typing": "strong" if target.strongly_typed else "by flags",
        "flags": precision_flags(files.precision, target),
        "float32_nodes": list(prepared.float_nodes),
        "profile": {name: {"clip": [size, *shape]} for name, size in options.profile.items()},
        "options": {
            key: str(value) if isinstance(value, Path) else value
            for key, value in asdict(options).items()
        },
        "onnx": files.graph.name,
        "onnx_sha256": file_sha256(files.graph),
        "opset": prepared.proto.opset_import[0].version,
        "bundle_sha256": file_sha256(files.bundle / "model.onnx"),
        "notes": list(prepared.notes),
        "machine": machine,
        "versions": {"keras_ddl": __version__, "rules": target.table.source},
        "commands": {
            "build": command_line(options, files.precision, files.bundle),
            "trtexec": _trtexec(files, target, options, shape),
        },
    }
    write_json(files.plan, plan)
    return plan


def _trtexec(files: BuildFiles, target: Target, options: BuildOptions, shape: list[int]) -> str:
    """The same build with NVIDIA's own tool, for a second opinion; it pins no float32 layers."""
    sizes = {name: "x".join(map(str, (size, *shape))) for name, size in options.profile.items()}
    words = [f"trtexec --onnx={files.graph.name} --saveEngine={files.engine.name}"]
    words += [f"--{name}Shapes=clip:{text}" for name, text in sizes.items()]
    words += [f"--memPoolSize=workspace:{options.workspace_mib}"]
    words += [f"--builderOptimizationLevel={options.optimisation_level}"]
    if target.strongly_typed:
        words += ["--stronglyTyped"] if target.version < (11, 0) else []
    else:
        flags = {"fp32": "--noTF32", "fp16": "--fp16", "int8": "--fp16 --int8"}
        words += [flags[files.precision]]
    return " ".join(words)

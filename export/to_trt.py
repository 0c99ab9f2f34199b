"""Build a TensorRT engine from a bundle: `python export/to_trt.py --fp16 [BUNDLE]`.

Prepares the graph for the precision and version, checks it against TensorRT's rules and against the
bundle's own answers, and builds where TensorRT and a GPU are. Where they are not, the prepared
graph and the build plan stay in BUNDLE/trt and one line says what is missing.
Exit codes are in docs/exit-codes.md. Needs no TensorFlow.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from deploy.backends.gpu import Gpu, first_gpu, tensorrt_version
from export.engine.options import BuildOptions, add_arguments, options_from
from export.engine.rules import Target, target_for
from export.parity.clip_file import ClipSet, clips_for
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import MISSING, USAGE, Parser, UserError, run_cli

if TYPE_CHECKING:
    import numpy as np
    import onnx

    from export.engine.prepare import PreparedGraph
    from export.parity.agreement import Agreement, Tolerance

DEFAULT_BUNDLE = Path("runs/latest/bundle")
PRECISIONS = {
    "fp32": "single precision, the reference",
    "fp16": "half precision, what most GPUs are fast at",
    "int8": "8-bit integers; needs a quantised bundle or --calibration",
    "best": "builds fp16 and, where possible, int8; keeps the faster one",
}


@dataclass(frozen=True)
class Machine:
    """What is here: version and GPU where they are, else why not."""

    version: str | None
    gpu: Gpu | None
    missing: UserError | None

    @classmethod
    def look(cls) -> Machine:
        """Look for TensorRT first, then for a GPU."""
        version = gpu = missing = None
        try:
            version = tensorrt_version()
            gpu = first_gpu()
        except UserError as error:
            missing = error
        return cls(version, gpu, missing)

    def describe(self) -> dict[str, Any]:
        """As the plan holds it."""
        return {
            "tensorrt": self.version,
            "gpu": self.gpu.name if self.gpu else None,
            "missing": str(self.missing) if self.missing else None,
        }


@dataclass(frozen=True)
class Job:
    """One bundle on its way to engines."""

    bundle: Path
    spec: ClipSpec
    proto: onnx.ModelProto
    target: Target
    machine: Machine
    options: BuildOptions
    clips: ClipSet
    ranges: str
    tolerance: float | None
    profile: bool


def check_bundle(bundle: Path) -> ClipSpec:
    """The contract of a bundle whose files are there and readable.

    Raises:
        UserError: a file is missing (exit code 3) or unreadable (2).
    """
    for name in ("model.onnx", "clipspec.json"):
        if not (bundle / name).is_file():
            raise UserError(
                f"expected {name} in bundle '{bundle}', found none: make one with "
                "python export/to_onnx.py, after make demo or python -m keras_ddl.train",
                MISSING,
            )
    try:
        return ClipSpec.read(bundle / "clipspec.json")
    except ValueError as error:
        raise UserError(f"cannot read '{bundle / 'clipspec.json'}': {error}") from error


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = Parser(prog="to_trt.py", description=__doc__.splitlines()[0])
    result.add_argument(
        "bundle", nargs="?", type=Path, default=DEFAULT_BUNDLE, help="default: %(default)s"
    )
    precisions = result.add_argument_group("precision (default: fp16)")
    choice = precisions.add_mutually_exclusive_group()
    for name, text in PRECISIONS.items():
        choice.add_argument(
            f"--{name}", dest="precision", action="store_const", const=name, help=text
        )
    result.set_defaults(precision="fp16")
    add_arguments(result)
    group = result.add_argument_group("clips and checks")
    group.add_argument(
        "--calibration", type=Path, metavar="NPZ", help="clips: uint8 (N, T, S, S, 3)"
    )
    group.add_argument(
        "--ranges",
        default="percentile",
        choices=("max", "moving-average", "percentile", "entropy"),
        help="how int8 ranges are chosen; default: %(default)s",
    )
    group.add_argument("--tolerance", type=float, help="largest change of the fake probability")
    group.add_argument("--profile", action="store_true", help="measure the time of each layer")
    group.add_argument(
        "--tensorrt", metavar="VERSION", help="prepare for this version; default: the one here"
    )
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = parser().parse_args(argv)
    return run_cli(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    from export.graph.onnx_graph import load_model

    bundle: Path = arguments.bundle
    spec = check_bundle(bundle)
    options = options_from(arguments, bundle / "trt" / "timing.cache")
    machine = Machine.look()
    target = _target(arguments.tensorrt, machine)
    job = Job(
        bundle, spec, load_model(bundle / "model.onnx"), target, machine, options,
        clips_for(spec, arguments.calibration), arguments.ranges, arguments.tolerance,
        arguments.profile,
    )  # fmt: skip
    precisions = _candidates(job) if arguments.precision == "best" else [arguments.precision]
    prepared = {precision: _prepare(job, precision) for precision in precisions}
    if machine.missing or machine.gpu is None:
        reason = machine.missing or "no GPU"
        raise UserError(f"prepared in '{bundle / 'trt'}', but not built: {reason}", MISSING)
    medians = {name: _build(job, name, graph, machine.gpu) for name, graph in prepared.items()}
    fastest = min(medians, key=lambda name: medians[name])
    print(f"{bundle / 'trt' / f'model.{fastest}.engine'}: {medians[fastest]:.2f} ms a clip")
    return 0


def _target(wanted: str | None, machine: Machine) -> Target:
    """The version here, or the one named; both where they agree."""
    if wanted is None or machine.version is None:
        return target_for(wanted or machine.version)
    target, here = target_for(wanted), target_for(machine.version)
    if target != here:
        raise UserError(
            f"expected --tensorrt {machine.version}, the one installed, received {wanted}: engines "
            "are built by the version that runs them",
            USAGE,
        )
    return here


def _candidates(job: Job) -> list[str]:
    if any(node.op_type == "QuantizeLinear" for node in job.proto.graph.node):
        return ["int8"]
    return ["fp16", "int8"] if job.clips.calibrated else ["fp16"]


def _prepare(job: Job, precision: str) -> PreparedGraph:
    """Write and verify the graph of one precision, and its plan."""
    from export.engine.plan import BuildFiles, write_plan
    from export.engine.prepare import prepare
    from export.engine.rules import RULES, require
    from export.graph.margin import open_with_margin
    from export.parity.divergence import BOUNDS, explained, find_divergence
    from export.parity.runtime_parity import compare_runtimes, require_parity

    files = BuildFiles(job.bundle, precision)
    clips = job.clips
    prepared = prepare(
        job.proto, precision, job.target, clips.measured, clips.calibrated, job.ranges
    )  # fmt: skip
    candidate = files.write_candidate(prepared.proto)
    require(prepared.proto, job.target, str(candidate))
    bundle = job.bundle / "model.onnx"
    with open_with_margin(bundle) as reference, open_with_margin(candidate) as own:
        parity = compare_runtimes(
            reference, own, clips.compared, job.spec.threshold, labels=clips.labels
        )
    worst = clips.compared[parity.worst]
    with explained(lambda: find_divergence(job.proto, prepared.proto, worst, BOUNDS[precision])):
        require_parity(parity, _tolerance(job, precision), f"the {precision} graph")
    half = _truly_half(job, precision, prepared, worst, parity)
    candidate.replace(files.graph)
    plan = write_plan(files, prepared, job.target, job.options, job.machine.describe())
    version = ".".join(map(str, job.target.version))
    print(f"{files.graph}: TensorRT {version}, typing {plan['typing']}, {len(RULES)} rules kept")
    for note in prepared.notes:
        print(f"  {note}")
    print(f"  graph against the bundle's on {clips.origin}: {parity}")
    if half:
        judged = "" if clips.calibrated else " (of noise: overflow alone is judged)"
        print(f"  truly in float16, on the worst of them{judged}: {half}")
    return prepared


def _truly_half(
    job: Job, precision: str, prepared: PreparedGraph, clip: np.ndarray, all_clips: Agreement
) -> Agreement | None:
    """Judge one clip with float16 that is float16: ONNX Runtime's CPU kernels hide an overflow."""
    from export.graph.margin import open_with_margin, with_margin
    from export.graph.mixed_fp16 import computes_in_float16
    from export.parity.agreement import HALF_ON_NOISE
    from export.parity.divergence import BOUNDS, explained, find_divergence
    from export.parity.reference_runtime import ReferenceRuntime, fetch_truly
    from export.parity.runtime_parity import compare_runtimes, require_parity

    if not computes_in_float16(prepared.proto):
        return None
    with open_with_margin(job.bundle / "model.onnx") as reference:
        candidate = ReferenceRuntime(with_margin(prepared.proto))
        found = compare_runtimes(reference, candidate, clip[None], job.spec.threshold)
    found = found.among(all_clips)
    bound = BOUNDS[precision]
    tolerance = _tolerance(job, precision) if job.clips.calibrated else HALF_ON_NOISE
    with explained(lambda: find_divergence(job.proto, prepared.proto, clip, bound, fetch_truly)):
        require_parity(found, tolerance, f"the {precision} graph, in float16,")
    return found


def _build(job: Job, precision: str, prepared: PreparedGraph, gpu: Gpu) -> float:
    """Build, prove and install one engine; return its best median, in milliseconds a clip."""
    from export.engine.gate import build_engine
    from export.engine.plan import BuildFiles

    sidecar = build_engine(
        BuildFiles(job.bundle, precision), prepared, job.spec, gpu, job.options,
        job.target.strongly_typed, job.clips.compared, job.clips.labels,
        _tolerance(job, precision), job.profile,
    )  # fmt: skip
    per_clip = [row["p50_ms"] / row["batch"] for row in sidecar.report["speed"]]
    return float(min(per_clip))


def _tolerance(job: Job, precision: str) -> Tolerance:
    from export.parity.agreement import PREPARED

    usual = PREPARED[precision]
    return usual if job.tolerance is None else replace(usual, probability=job.tolerance)


if __name__ == "__main__":
    sys.exit(main())

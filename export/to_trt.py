"""TensorRT engine of a bundle: `python export/to_trt.py --fp16 [BUNDLE]`.

Prepares the graph for the precision and version, checks it against TensorRT's rules and against the
bundle's own answers, and builds: with TensorRT where that and a GPU are, else with TensorRT-RTX,
which needs no GPU. Where neither is, the prepared graph and the build plan stay in BUNDLE/trt and
one line says what is missing.
Exit codes are in docs/exit-codes.md. Needs no TensorFlow.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from deploy.backends.constant_folding import look_at_graph
from deploy.backends.library import LIBRARIES, TENSORRT, in_words
from deploy.backends.sidecar import EngineSidecar
from export.engine.checked_engine import checked_engine
from export.engine.checked_graph import checked_graph
from export.engine.job import Job, Machine
from export.engine.options import add_arguments, options_from
from export.graph.onnx_graph import load_model
from export.graph.tensor_ranges import METHODS
from export.parity.clips import clips_for
from keras_ddl.edge.bundle import (
    DEFAULT_BUNDLE,
    ENGINE_FOLDER,
    MODEL_FILE,
    check_external,
    check_sums,
    read_spec,
)
from keras_ddl.edge.errors import MISSING, USAGE, Parser, UserError, run_cli

PRECISIONS = {
    "fp32": "single precision, the reference",
    "fp16": "half precision, what most GPUs are fast at",
    "int8": "8-bit integers; needs a quantised bundle or --calibration",
    "best": "builds fp16 and, where possible, int8; keeps the faster one",
}


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
    result.add_argument(
        "--target",
        default="auto",
        choices=(*LIBRARIES, "auto"),
        help="trt: TensorRT, built on the GPU that runs it; rtx: TensorRT-RTX, built anywhere for "
        "every GPU from Ampere on; auto: trt where that and a GPU are, else rtx where it is "
        "installed; default: %(default)s",
    )
    add_arguments(result)
    group = result.add_argument_group("clips and checks")
    group.add_argument(
        "--calibration", type=Path, metavar="NPZ", help="clips: uint8 (N, T, S, S, 3)"
    )
    group.add_argument(
        "--ranges",
        default="percentile",
        choices=METHODS,
        help="how int8 ranges are chosen; default: %(default)s",
    )
    group.add_argument("--tolerance", type=float, help="largest change of the fake probability")
    group.add_argument("--profile", action="store_true", help="measure the time of each layer")
    group.add_argument(
        "--tensorrt",
        metavar="VERSION",
        help="prepare for this version of TensorRT; default: the one here",
    )
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    arguments = parser().parse_args(argv)
    return run_cli(lambda: _run(arguments))


def _run(arguments: argparse.Namespace) -> int:
    bundle: Path = arguments.bundle
    spec = read_spec(bundle)
    check_external(bundle, check_sums(bundle))
    look_at_graph(bundle / MODEL_FILE)
    options = options_from(arguments, bundle / ENGINE_FOLDER / "timing.cache")
    if arguments.tensorrt and arguments.target == "rtx":
        raise UserError("--tensorrt is for --target trt: TensorRT-RTX is taken as it is", USAGE)
    machine = Machine.look(TENSORRT.key if arguments.tensorrt else arguments.target)
    options = options.fit(machine.library)
    target = machine.target(arguments.tensorrt, options.compute_capabilities)
    job = Job(
        bundle=bundle,
        spec=spec,
        proto=load_model(bundle / MODEL_FILE),
        target=target,
        machine=machine,
        options=options,
        clips=clips_for(bundle, spec, arguments.calibration),
        ranges=arguments.ranges,
        tolerance=arguments.tolerance,
        profile=arguments.profile,
    )
    precisions = _candidates(job) if arguments.precision == "best" else [arguments.precision]
    prepared = {precision: checked_graph(job, precision) for precision in precisions}
    if machine.missing:
        where = bundle / ENGINE_FOLDER
        raise UserError(f"prepared in '{where}', but not built: {machine.missing}", MISSING)
    built = {name: checked_engine(job, name, graph) for name, graph in prepared.items()}
    if job.not_run:
        print(_where_it_runs(job, next(iter(built.values()))))
        return 0
    medians = {name: _median(sidecar) for name, sidecar in built.items()}
    fastest = min(medians, key=lambda name: medians[name])
    print(f"{job.files(fastest).engine}: {medians[fastest]:.2f} ms a clip")
    return 0


def _candidates(job: Job) -> list[str]:
    if any(node.op_type == "QuantizeLinear" for node in job.proto.graph.node):
        return ["int8"]
    return ["fp16", "int8"] if job.clips.calibrated else ["fp16"]


def _where_it_runs(job: Job, sidecar: EngineSidecar) -> str:
    return (
        f"built here, not run here ({job.not_run}): runs with {job.machine.library.name} "
        f"{sidecar.tensorrt} on NVIDIA GPUs of compute capability "
        f"{in_words(sidecar.compute_capabilities)}"
    )


def _median(sidecar: EngineSidecar) -> float:
    """The best median of an engine's batch sizes, in milliseconds a clip."""
    return float(min(row["p50_ms"] / row["batch"] for row in sidecar.report["speed"]))


if __name__ == "__main__":
    sys.exit(main())

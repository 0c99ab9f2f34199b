"""Diagnosis of this machine: `python -m deploy.doctor`, one screen, or `--json` for programs.

Needs nothing beyond NumPy; what is not installed is a line, not an error. Looks for a GPU before it
touches TensorRT, which 8.6 does not survive otherwise.
"""

from __future__ import annotations

import json
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

if not __package__:  # run as a script: import from the clone, and keep this folder off the path
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from deploy.backends.gpu import Gpu, gpus
from deploy.backends.library import LIBRARIES, TENSORRT
from deploy.backends.proof_clips import ProofClips, read_proof
from deploy.machine.machine_report import Line, decoders, devices, faces, memory, opencv, runtimes
from keras_ddl.edge.bundle import (
    ENGINE_FOLDER,
    MODEL_FILE,
    check_external,
    check_sums,
    default_bundle,
    is_bundle,
    read_spec,
)
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import CHECK_FAILED, MISSING, Parser, UserError, run_cli
from keras_ddl.edge.faces.yunet import find_yunet

NO_GPU = "no NVIDIA GPU, or its driver does not load"
MARKS = {"yes": "+", "no": "-", "warning": "!"}


@dataclass(frozen=True)
class Report:
    """All findings.

    Attributes:
        lines: In the order of the screen.
        engines: Engine file → why it does not fit here; empty where it does.
        next_command: What to type now.
    """

    lines: tuple[Line, ...]
    engines: dict[str, str]
    next_command: str


def examine(bundle: Path | None = None) -> Report:
    """Look at this machine and at one bundle, `default_bundle` where none is named."""
    bundle = bundle or default_bundle()
    found = gpus()
    versions, reasons = _libraries()
    lines = [
        Line("system", "yes", f"{platform.platform()}, Python {platform.python_version()}"),
        memory(),
        Line("GPU", "yes" if found else "no", ", ".join(map(str, found)) or NO_GPU),
        *(
            Line(library.name, "yes", versions[key])
            if key in versions
            else Line(library.name, "no", reasons[key])
            for key, library in LIBRARIES.items()
        ),
        *_cuda_lines(found, TENSORRT.key in versions),
        runtimes(),
        *opencv(),
        decoders(),
        faces(),
        *devices(),
    ]
    has_bundle = is_bundle(bundle)
    lines.append(
        Line("bundle", "yes", str(bundle))
        if has_bundle
        else Line("bundle", "no", f"none at {bundle}; {typed('demo')} trains and exports one")
    )
    engines = _engines(bundle, versions, found)
    for name, problem in engines.items():
        lines.append(
            Line("engine", "warning" if problem else "yes", f"{name} {problem or 'fits here'}")
        )
    has_camera = any(line.topic == "cameras" and line.state == "yes" for line in lines)
    able = bool(versions) and bool(found)
    return Report(tuple(lines), engines, _next(bundle, has_bundle, able, engines, has_camera))


def _libraries() -> tuple[dict[str, str], dict[str, str]]:
    """Versions of the libraries for engines that load, and why the others do not, by their keys."""
    versions, reasons = {}, {}
    for key, library in LIBRARIES.items():
        try:
            versions[key] = library.version()
        except UserError as error:
            reasons[key] = str(error)
    return versions, reasons


def _cuda_lines(found: Sequence[Gpu], tensorrt: bool) -> list[Line]:
    """CUDA's bindings, memory of the GPU, and DLA cores; asked only where there is a GPU."""
    from deploy.backends.cuda_device import CudaDevice, cuda_runtime

    try:
        cuda_runtime()
    except UserError as error:
        return [Line("CUDA", "no", str(error))]
    if not found:
        return [Line("CUDA", "yes", "bindings load; no GPU to use them on")]
    try:
        device = CudaDevice()
        free, total = device.free_memory()
        device.close()
    except UserError as error:
        return [Line("CUDA", "warning", str(error))]
    text = f"bindings load; GPU memory {free >> 20} of {total >> 20} MiB free"
    lines = [Line("CUDA", "yes", text)]
    if tensorrt:
        from deploy.backends.engine_log import engine_log

        trt = TENSORRT.load()
        runtime = trt.Runtime(engine_log(trt))
        cores = int(runtime.num_DLA_cores)
        lines.append(Line("DLA", "yes" if cores else "no", f"{cores} cores"))
    return lines


def _engines(bundle: Path, versions: Mapping[str, str], found: Sequence[Gpu]) -> dict[str, str]:
    """Every engine of a bundle, and why it does not fit; read from sidecars, none is loaded."""
    from deploy.backends.sidecar import mismatch, read_sidecar

    result = {}
    for path in sorted((bundle / "trt").glob("*.engine")):
        try:
            facts = read_sidecar(path)
        except UserError as error:
            result[str(path)] = str(error)
            continue
        if facts.library not in versions or not found:
            name = LIBRARIES[facts.library].name
            result[str(path)] = f"cannot run here: {name} or a GPU is missing"
        else:
            result[str(path)] = mismatch(facts, path, versions[facts.library], found[0])
    return result


def _next(
    bundle: Path, has_bundle: bool, able: bool, engines: dict[str, str], has_camera: bool
) -> str:
    if not has_bundle:
        return typed("demo")
    fitting = [name for name, problem in engines.items() if not problem]
    if able and not fitting:
        return f"{typed('to-trt')} --fp16 {bundle}"
    source = "--camera 0" if has_camera else "--source VIDEO.mp4"
    chosen = fitting[0] if able else str(bundle)
    return f"{typed('stream')} --bundle {chosen} {source}"


def check(bundle: Path) -> list[Line]:
    """Let everything that can run a bundle here answer its proof clips.

    Raises:
        UserError: the bundle is not what was exported (4), or has no proof clips (3).
    """
    from deploy.backends.ort import PROVIDERS

    spec = read_spec(bundle)
    check_external(bundle, check_sums(bundle))
    proof = read_proof(bundle, spec)
    if proof is None:
        raise UserError(
            f"expected proof clips in '{bundle}', found none: export it again with `python "
            "export/to_onnx.py`, without --no-proof",
            MISSING,
        )
    ways = [(bundle / MODEL_FILE, device) for device in PROVIDERS]
    ways += [(path, "cpu") for path in sorted((bundle / ENGINE_FOLDER).glob("*.engine"))]
    return [_check_way(path, device, proof, spec.threshold) for path, device in ways]


def _check_way(path: Path, device: str, proof: ProofClips, threshold: float) -> Line:
    from deploy.backends import open_backend
    from deploy.backends.self_test import self_test

    name = path.name if path.suffix == ".engine" else f"{path.name} on {device}"
    try:
        with open_backend(path, device=device) as backend:
            found = self_test(backend, proof, threshold)
    except UserError as error:
        return Line("proof", "no", f"{name}: {error}")
    wrong = "" if found.passes else f"; not the exported model's answers ({found.worst})"
    return Line("proof", "yes" if found.passes else "warning", f"{name}: {found}{wrong}")


def screen(report: Report) -> str:
    """The report as text."""
    width = max(len(line.topic) for line in report.lines)
    rows = [f"{MARKS[line.state]} {line.topic:{width}}  {line.text}" for line in report.lines]
    return "\n".join([*rows, f"next: {report.next_command}"])


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 whatever it finds, with `--check` 4 as well."""
    options = Parser(prog="python -m deploy.doctor", description=(__doc__ or "").splitlines()[0])
    options.add_argument("--bundle", type=Path, help="default: runs/latest/bundle, or what ships")
    options.add_argument(
        "--check",
        type=Path,
        metavar="BUNDLE",
        help="let all that can run it here answer its proof clips",
    )
    options.add_argument(
        "--fetch",
        action="store_true",
        help="fetch YuNet's model first, by its checksum, for those who have a network now only",
    )
    options.add_argument("--json", action="store_true", help="one JSON object instead")
    arguments = options.parse_args(argv)

    def body() -> int:
        if arguments.fetch:
            find_yunet()
        report = examine(arguments.check or arguments.bundle)
        proofs = check(arguments.check) if arguments.check else []
        report = replace(report, lines=(*report.lines, *proofs))
        as_json = arguments.json
        print(json.dumps(asdict(report), ensure_ascii=False) if as_json else screen(report))
        return CHECK_FAILED if any(line.state == "warning" for line in proofs) else 0

    return run_cli(body)


if __name__ == "__main__":
    sys.exit(main())

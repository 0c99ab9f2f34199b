"""Engine sidecar: what an engine was built from and for, checked before it is loaded.

TensorRT refuses a foreign engine with an unclear message, or crashes; a JSON file can be read
anywhere. `NAME.engine` has `NAME.engine.json`.
"""

from __future__ import annotations

import dataclasses
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deploy.backends.gpu import Gpu, first_gpu
from deploy.backends.library import LIBRARIES, Capability, Library, in_words, runs_on
from keras_ddl.edge.bundle import MODEL_FILE, bundle_of
from keras_ddl.edge.commands import typed
from keras_ddl.edge.errors import CHECK_FAILED, MISSING, UserError
from keras_ddl.edge.files import file_sha256, read_json, write_json

VERSION = 2
AMPERE = (8, 0)  # a hardware-compatible engine runs on this compute capability and above


@dataclass(frozen=True)
class EngineSidecar:
    """The facts about one engine.

    Attributes:
        engine_sha256: Of the engine file.
        onnx_sha256: Of the prepared ONNX file that was built.
        bundle_sha256: Of the bundle's `model.onnx` that it was prepared from.
        precision: "fp32", "fp16" or "int8".
        strongly_typed: Whether the graph's types were binding.
        tensorrt: Version of the library that built it.
        gpu: Name of the GPU that it was built on and is for; None of TensorRT-RTX.
        compute_capabilities: (major, minor) of the GPUs that it is for; of TensorRT-RTX none means
            the library's own choice, `library.DEFAULT_CAPABILITIES` and later ones.
        system: Operating system and processor, as "Linux-x86_64", that it was built on.
        profile: "min", "opt" and "max" → clips in a batch.
        hardware_compatible: Built for every GPU from Ampere on.
        version_compatible: Loadable by later releases of the same TensorRT series.
        dla_core: The DLA core it was built for, or None.
        metadata: The strings of the ONNX file, the ClipSpec among them.
        report: What the build and the checks after it measured; "run" says whether it was run.
        library: Key of the library that built it and runs it, of `library.LIBRARIES`.
        version: Of this format.
    """

    engine_sha256: str
    onnx_sha256: str
    bundle_sha256: str
    precision: str
    strongly_typed: bool
    tensorrt: str
    gpu: str | None
    compute_capabilities: tuple[Capability, ...]
    system: str
    profile: Mapping[str, int]
    hardware_compatible: bool = False
    version_compatible: bool = False
    dla_core: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    report: Mapping[str, Any] = field(default_factory=dict)
    library: str = "trt"
    version: int = VERSION

    def write(self, engine: Path) -> Path:
        """Write the sidecar of an engine, whole or not at all."""
        path = sidecar_path(engine)
        write_json(path, dataclasses.asdict(self))
        return path


def sidecar_path(engine: Path) -> Path:
    """Where an engine's sidecar lies."""
    return engine.with_name(engine.name + ".json")


def system_name() -> str:
    """Operating system and processor of this machine."""
    return f"{platform.system()}-{platform.machine()}"


def read_sidecar(engine: Path) -> EngineSidecar:
    """Read the sidecar of an engine.

    Raises:
        UserError: there is none (3), or it is not one of this format (4).
    """
    path = sidecar_path(engine)
    if not path.is_file():
        raise UserError(
            f"expected {path.name} beside '{engine}', found none: an engine is used only where it "
            f"is known what it was built for; build it here with {typed('to-trt')}",
            MISSING,
        )
    values = read_json(path)
    names = {entry.name for entry in dataclasses.fields(EngineSidecar)}
    whole = isinstance(values, dict) and values.get("version") == VERSION and set(values) == names
    if not whole or values["library"] not in LIBRARIES:
        raise UserError(
            f"'{path}' is not a sidecar of version {VERSION}: build the engine again with "
            f"{typed('to-trt')}",
            CHECK_FAILED,
        )
    capabilities = tuple((major, minor) for major, minor in values["compute_capabilities"])
    return EngineSidecar(**{**values, "compute_capabilities": capabilities})


def check_engine(engine: Path) -> EngineSidecar:
    """Refuse an engine that is not for this machine, library and model, without loading it.

    Looks for its library and a GPU first: `tensorrt.Runtime` of 8.6 does not survive their lack.

    Returns:
        The sidecar.

    Raises:
        UserError: the library, a GPU or the sidecar is missing (3); anything differs (4), with the
            command that builds the engine again.
    """
    sidecar = read_sidecar(engine)
    version, gpu = LIBRARIES[sidecar.library].version(), first_gpu()
    found = mismatch(sidecar, engine, version, gpu)
    if found:
        raise UserError(
            f"'{engine}' {found}: build it again with {rebuild_command(sidecar, engine)}",
            CHECK_FAILED,
        )
    return sidecar


def mismatch(sidecar: EngineSidecar, engine: Path, version: str, gpu: Gpu) -> str:
    """Say in words why an engine does not fit; empty when it does.

    Args:
        sidecar: What is known of the engine.
        engine: Its file.
        version: Of the engine's library, as it is here.
        gpu: The one here.
    """
    library = LIBRARIES[sidecar.library]
    if not _version_fits(sidecar, version):
        return f"was built by {library.name} {sidecar.tensorrt}, here is {version}"
    if not _gpu_fits(sidecar, library, gpu):
        fitting = f"compute capability {in_words(sidecar.compute_capabilities)}"
        built = f"{sidecar.gpu} ({fitting})" if sidecar.gpu else f"GPUs of {fitting}"
        return f"was built for {built}, here is {gpu}"
    if not library.portable and sidecar.system != system_name():
        return f"was built on {sidecar.system}, here is {system_name()}"
    bundle = bundle_of(engine)
    if bundle is not None and file_sha256(bundle / MODEL_FILE) != sidecar.bundle_sha256:
        return f"was built from another model than '{bundle / MODEL_FILE}'"
    if file_sha256(engine) != sidecar.engine_sha256:
        return "is not the file that its sidecar describes"
    return ""


def rebuild_command(sidecar: EngineSidecar, engine: Path) -> str:
    """The command that builds an engine again, with the options that change what it can do."""
    bundle = bundle_of(engine)
    words = [typed("to-trt"), f"--{sidecar.precision}"]
    if LIBRARIES[sidecar.library].portable:
        words.append(f"--target {sidecar.library}")
        asked = sidecar.compute_capabilities
        words += [f"--compute-capability {in_words(asked)}".replace(", ", ",")] if asked else []
    if any(size != 1 for size in sidecar.profile.values()):
        words += [f"--{name}-batch {size}" for name, size in sidecar.profile.items()]
    words += ["--hardware-compatible"] * sidecar.hardware_compatible
    words += ["--version-compatible"] * sidecar.version_compatible
    words += [f"--dla-core {sidecar.dla_core}"] if sidecar.dla_core is not None else []
    return " ".join([*words, str(bundle)] if bundle else words)


def _gpu_fits(sidecar: EngineSidecar, library: Library, gpu: Gpu) -> bool:
    if library.portable:
        return runs_on(sidecar.compute_capabilities, gpu.compute_capability)
    if sidecar.hardware_compatible:
        return gpu.compute_capability >= AMPERE
    return (gpu.name, (gpu.compute_capability,)) == (sidecar.gpu, sidecar.compute_capabilities)


def _version_fits(sidecar: EngineSidecar, version: str) -> bool:
    if sidecar.tensorrt == version:
        return True
    built, here = (
        [int(p) for p in v.split(".") if p.isdecimal()] for v in (sidecar.tensorrt, version)
    )
    return sidecar.version_compatible and built[:1] == here[:1] and built <= here

"""Build options of an engine, their command line, and the command that asks for them again."""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

from deploy.backends.library import Capability, Library, capabilities_from, in_words
from keras_ddl.edge.errors import USAGE, UserError

OPTIMISATION_LEVEL = 3  # TensorRT's own default
WORKSPACE_MIB = 1024
FLAGS = {  # that ask for a precision where types are the builder's choice
    "fp32": (),
    "fp16": ("FP16", "OBEY_PRECISION_CONSTRAINTS"),
    "int8": ("FP16", "INT8", "OBEY_PRECISION_CONSTRAINTS"),
}


@dataclass(frozen=True)
class BuildOptions:
    """The options of one build.

    Attributes:
        min_batch, opt_batch, max_batch: Clips in a batch that the engine accepts, and is tuned for.
        workspace_mib: Memory that TensorRT may use while it computes, in MiB.
        optimisation_level: 0 builds fastest, 5 searches longest.
        timing_cache: File of measured kernels; the next build starts from it.
        hardware_compatible: One engine for every GPU from Ampere on; slower.
        version_compatible: Loadable by later releases of the same series.
        dla_core: Deep-learning accelerator of a Jetson, what it cannot do falls back on the GPU.
        calibration: File of clips that the graph was prepared with; None for noise.
        compute_capabilities: (major, minor) of the GPUs that TensorRT-RTX shall build for; none
            leaves the choice to it.
    """

    min_batch: int = 1
    opt_batch: int = 1
    max_batch: int = 1
    workspace_mib: int = WORKSPACE_MIB
    optimisation_level: int = OPTIMISATION_LEVEL
    timing_cache: Path | None = None
    hardware_compatible: bool = False
    version_compatible: bool = False
    dla_core: int | None = None
    calibration: Path | None = None
    compute_capabilities: tuple[Capability, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.min_batch <= self.opt_batch <= self.max_batch:
            received = f"{self.min_batch}, {self.opt_batch}, {self.max_batch}"
            raise UserError(f"expected 1 <= min <= opt <= max batch, received {received}", USAGE)
        if not 0 <= self.optimisation_level <= 5:
            raise UserError(
                f"expected --opt-level 0 to 5, received {self.optimisation_level}", USAGE
            )
        if self.workspace_mib < 1 or (self.dla_core or 0) < 0:
            raise UserError("expected --workspace >= 1 MiB and --dla-core >= 0", USAGE)

    def fit(self, library: Library) -> BuildOptions:
        """These options as a library knows them.

        Raises:
            UserError: one is asked for that it has not (2).
        """
        if not library.portable and self.compute_capabilities:
            raise UserError(
                "--compute-capability is for --target rtx: TensorRT builds for the GPU it runs on, "
                "and --hardware-compatible for all from Ampere on",
                USAGE,
            )
        if not library.portable:
            return self
        unknown = {
            "--hardware-compatible": self.hardware_compatible,
            "--version-compatible": self.version_compatible,
            "--dla-core": self.dla_core is not None,
        }
        for name in (name for name, asked in unknown.items() if asked):
            raise UserError(
                f"{name} is not for --target rtx: its engines run on every GPU from Ampere on, on "
                "no DLA, with the version that built them; leave it out, or use --target trt",
                USAGE,
            )
        return replace(self, timing_cache=None)  # of TensorRT-RTX: nothing is timed before it runs

    @property
    def profile(self) -> dict[str, int]:
        """The batch sizes by TensorRT's names for them."""
        return {"min": self.min_batch, "opt": self.opt_batch, "max": self.max_batch}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `BuildOptions` to a command line."""
    group = parser.add_argument_group("batch (default: exactly 1, which allows a CUDA graph)")
    group.add_argument("--min-batch", type=int, help="fewest clips in a batch")
    group.add_argument("--opt-batch", type=int, help="clips to tune for")
    group.add_argument("--max-batch", type=int, help="most clips in a batch")
    group = parser.add_argument_group("build")
    group.add_argument(
        "--workspace",
        type=int,
        default=WORKSPACE_MIB,
        metavar="MIB",
        help="memory for layers while they compute; default: %(default)s",
    )
    group.add_argument("--timing-cache", type=Path, metavar="FILE", help="default: in BUNDLE/trt")
    group.add_argument(
        "--opt-level",
        type=int,
        default=OPTIMISATION_LEVEL,
        help="0 builds fastest, 5 searches longest; default: %(default)s",
    )
    group.add_argument("--hardware-compatible", action="store_true", help="any GPU from Ampere on")
    group.add_argument("--version-compatible", action="store_true", help="later releases too")
    group.add_argument(
        "--compute-capability",
        metavar="LIST",
        help="of the GPUs that TensorRT-RTX builds for, as 8.6,12.0; default: all from Ampere on",
    )
    group.add_argument(
        "--dla-core", type=int, metavar="N", help="a Jetson's accelerator; falls back on the GPU"
    )


def options_from(arguments: argparse.Namespace, cache: Path) -> BuildOptions:
    """Read parsed arguments; batches not named follow from those that are.

    Args:
        arguments: With the attributes that `add_arguments` defines, and `calibration`.
        cache: The timing cache where none is named.
    """
    capabilities = arguments.compute_capability
    smallest = arguments.min_batch or 1
    largest = arguments.max_batch or max(smallest, arguments.opt_batch or 1)
    return BuildOptions(
        smallest,
        arguments.opt_batch or largest,
        largest,
        arguments.workspace,
        arguments.opt_level,
        arguments.timing_cache or cache,
        arguments.hardware_compatible,
        arguments.version_compatible,
        arguments.dla_core,
        arguments.calibration,
        capabilities_from(capabilities) if capabilities else (),
    )


def command_line(options: BuildOptions, precision: str, bundle: Path, library: Library) -> str:
    """The command that asks for the same build."""
    words = ["python export/to_trt.py", f"--{precision} --target {library.key}"]
    for name, size in options.profile.items():
        words.append(f"--{name}-batch {size}")
    words.append(f"--workspace {options.workspace_mib} --opt-level {options.optimisation_level}")
    words += ["--hardware-compatible"] * options.hardware_compatible
    words += ["--version-compatible"] * options.version_compatible
    words += [f"--dla-core {options.dla_core}"] if options.dla_core is not None else []
    if options.compute_capabilities:
        asked = in_words(options.compute_capabilities).replace(", ", ",")
        words.append(f"--compute-capability {asked}")
    words += [f"--calibration {options.calibration}"] if options.calibration else []
    return " ".join([*words, str(bundle)])

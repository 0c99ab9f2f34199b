"""A build job: a bundle, what it is built for and with, and where its files lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.backends.gpu import Gpu, first_gpu, gpus
from deploy.backends.library import LIBRARIES, TENSORRT, TENSORRT_RTX, Capability, Library, runs_on
from export.engine.options import BuildOptions
from export.engine.target import Target, target_for
from export.parity.agreement import HALF_ON_NOISE, PREPARED
from export.parity.clips import ClipSet
from export.parity.prove import Limits
from keras_ddl.edge.bundle import ENGINE_FOLDER, MODEL_FILE
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import MISSING, USAGE, UserError

if TYPE_CHECKING:
    import onnx

ADVICE = (
    "nothing was replaced. Try --fp32, more or truer calibration clips, or another --ranges; "
    "--tolerance sets the bound of the probability"
)


@dataclass(frozen=True)
class Machine:
    """What this machine can build with.

    Attributes:
        library: TensorRT or TensorRT-RTX.
        version: Of the library, where it loads.
        gpu: The one that is taken by default, where there is one.
        missing: Why nothing can be built here; None where it can.
    """

    library: Library
    version: str | None
    gpu: Gpu | None
    missing: UserError | None

    @classmethod
    def look(cls, wanted: str = "auto") -> Machine:
        """Look for a library, and for a GPU.

        Args:
            wanted: Key of a library, or "auto": TensorRT where it loads and a GPU is there, else
                TensorRT-RTX where that loads.
        """
        if wanted != "auto":
            return cls._with(LIBRARIES[wanted])
        own, portable = cls._with(TENSORRT), None
        if own.missing:
            portable = cls._with(TENSORRT_RTX)
        if portable is None:
            return own
        if not portable.missing:
            return portable
        line = f"{own.missing}; an engine can be built without a GPU too: {TENSORRT_RTX.remedy}"
        return replace(own, missing=UserError(line, MISSING))

    @classmethod
    def _with(cls, library: Library) -> Machine:
        """Look for the library first, then for a GPU, which not every library needs."""
        version = gpu = missing = None
        try:
            version = library.version()
            gpu = next(iter(gpus()), None) if library.portable else first_gpu()
        except UserError as error:
            missing = error
        return cls(library, version, gpu, missing)

    def target(
        self, wanted: str | None, compute_capabilities: tuple[Capability, ...] = ()
    ) -> Target:
        """The version here, or the one named; both where they agree.

        Raises:
            UserError: they do not agree (2).
        """
        if wanted is None or self.version is None:
            return target_for(wanted or self.version, self.library, compute_capabilities)
        target, here = (target_for(version, self.library) for version in (wanted, self.version))
        if target != here:
            raise UserError(
                f"expected --tensorrt {self.version}, the one installed, received {wanted}: "
                "engines are built by the version that runs them",
                USAGE,
            )
        return here


@dataclass(frozen=True)
class BuildFiles:
    """Where the files of one precision lie."""

    bundle: Path
    precision: str

    @property
    def model(self) -> Path:
        """The bundle's own graph, which everything is compared with."""
        return self.bundle / MODEL_FILE

    @property
    def folder(self) -> Path:
        """Of all builds; goes with the bundle when that is exported again."""
        return self.bundle / ENGINE_FOLDER

    @property
    def graph(self) -> Path:
        """The prepared graph."""
        return self.folder / f"model.{self.precision}.onnx"

    @property
    def refused(self) -> Path:
        """A prepared graph that is yet to be checked; one that is refused stays there."""
        return self.folder / f"refused.{self.precision}.onnx"

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


@dataclass(frozen=True)
class Job:
    """One bundle on its way to engines.

    Attributes:
        bundle: Its folder.
        spec: Its contract.
        proto: Its graph.
        target: What is built for.
        machine: What is here.
        options: As asked for.
        clips: To measure ranges and compare answers on.
        ranges: How int8 ranges are chosen, of `tensor_ranges.METHODS`.
        tolerance: Largest change of the fake probability; None: the precision's own.
        profile: Measure and show the time of each layer.
    """

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

    @property
    def not_run(self) -> str:
        """Why an engine of this build cannot run here; empty where it can."""
        gpu = self.machine.gpu
        if gpu is None:
            return "no NVIDIA GPU"
        asked = self.options.compute_capabilities
        if self.machine.library.portable and not runs_on(asked, gpu.compute_capability):
            return f"it is not for {gpu}"
        return ""

    def files(self, precision: str) -> BuildFiles:
        """Where the files of a precision lie."""
        return BuildFiles(self.bundle, precision)

    def limits(self, precision: str) -> Limits:
        """What a graph or engine has to keep of the bundle's answers.

        On noise float16 has looser bounds: rounding of any kind chooses other places in DFDC there.
        """
        on_noise = precision == "fp16" and self.clips.noise
        tolerance = HALF_ON_NOISE if on_noise else PREPARED[precision]
        if self.tolerance is not None:
            tolerance = replace(tolerance, probability=self.tolerance)
        return Limits(tolerance, self.spec.threshold, ADVICE)

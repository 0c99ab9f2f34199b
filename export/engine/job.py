"""A build job: a bundle, what it is built for and with, and where its files lie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.backends.gpu import Gpu, first_gpu, tensorrt_version
from export.engine.options import BuildOptions
from export.engine.rules import Target, target_for
from export.parity.agreement import HALF_ON_NOISE, PREPARED
from export.parity.clips import ClipSet
from export.parity.prove import Limits
from keras_ddl.edge.bundle import ENGINE_FOLDER, MODEL_FILE
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import USAGE, UserError

if TYPE_CHECKING:
    import onnx

ADVICE = (
    "nothing was replaced. Try --fp32, more or truer calibration clips, or another --ranges; "
    "--tolerance sets the bound of the probability"
)


@dataclass(frozen=True)
class Machine:
    """TensorRT's version and the GPU of this machine where they are, else why not."""

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

    def target(self, wanted: str | None) -> Target:
        """The version here, or the one named; both where they agree.

        Raises:
            UserError: they do not agree (2).
        """
        if wanted is None or self.version is None:
            return target_for(wanted or self.version)
        target, here = target_for(wanted), target_for(self.version)
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

    def files(self, precision: str) -> BuildFiles:
        """Where the files of a precision lie."""
        return BuildFiles(self.bundle, precision)

    def limits(self, precision: str) -> Limits:
        """What a graph or engine has to keep of the bundle's answers.

        With float16 that is float16 the worst clip alone is judged, and on noise for overflow. On
        noise rounding of any kind chooses other positions in DFDC, so logits may be further apart.
        """
        tolerance = PREPARED[precision]
        if precision == "fp16" and not self.clips.calibrated:
            tolerance = replace(tolerance, logit=HALF_ON_NOISE.logit)
        if self.tolerance is not None:
            tolerance = replace(tolerance, probability=self.tolerance)
        half = tolerance if self.clips.calibrated else HALF_ON_NOISE
        return Limits(tolerance, half, 1, self.spec.threshold, ADVICE)

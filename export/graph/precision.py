"""Bundle forms: the precisions of an export, and how a float32 or Q/DQ graph becomes each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from keras_ddl.edge.bundle import RUN_BUNDLE
from keras_ddl.edge.errors import USAGE, UserError

if TYPE_CHECKING:
    import numpy as np
    import onnx

PRECISIONS = ("fp16", "fp32", "int8")
RESTS = ("fp16", "fp32")


@dataclass(frozen=True)
class Form:
    """One form of a bundle.

    Attributes:
        precision: "fp32", "fp16" or "int8".
        rest: What int8 leaves: "fp32" or "fp16".
        cpu: int8 as ONNX Runtime's CPU kernels want it, not as TensorRT does.
    """

    precision: str = "fp32"
    rest: str = "fp32"
    cpu: bool = False

    def __post_init__(self) -> None:
        if self.precision != "int8" and (self.cpu or self.rest != "fp32"):
            raise UserError(
                f"--rest and --cpu are for --precision int8, received {self.precision}", USAGE
            )
        if self.cpu and self.rest != "fp32":
            raise UserError("a CPU has no float16 kernels: --cpu or --rest fp16, not both", USAGE)

    @property
    def bundle(self) -> str:
        """The name of the bundle's folder."""
        parts = [self.precision, self.rest if self.half and self.precision == "int8" else ""]
        parts.append("cpu" if self.cpu else "")
        named = [part for part in parts if part and part != "fp32"]
        return "-".join([RUN_BUNDLE, *named])

    @property
    def half(self) -> bool:
        """Whether float16 is in the graph."""
        return "fp16" in (self.precision, self.rest)


def in_form(
    proto: onnx.ModelProto,
    form: Form,
    clips: np.ndarray,
    calibration: Callable[[], np.ndarray],
) -> onnx.ModelProto:
    """Turn a graph into a form; one that needs no change is returned as it is.

    Args:
        proto: What `onnx_from_keras` made: float32, with Q/DQ for int8.
        form: The form.
        clips: uint8 ``(N, T, S, S, 3)``; float16 has islands where they come near its limits.
        calibration: Gives training clips, to choose further int8 ranges from.

    Returns:
        A graph that `onnx.checker` accepts, types and shapes inferred.
    """
    from export.graph.cpu_int8 import cpu_int8, open_results
    from export.graph.mixed_fp16 import float_tensors, mixed_fp16, raise_opset
    from export.graph.onnx_graph import need_onnx
    from export.graph.tensor_ranges import collect_ranges

    if form.cpu:
        result = cpu_int8(proto, collect_ranges(proto, calibration(), open_results(proto)))
    elif form.half:
        source = raise_opset(proto) if form.precision == "int8" else proto
        ranges = collect_ranges(source, clips, float_tensors(source), "max")
        result = mixed_fp16(source, ranges)
    else:
        return proto
    need_onnx().checker.check_model(result, full_check=True)
    return result

"""Reference runtime: ONNX's own evaluator, in which float16 really is float16.

ONNX Runtime computes float16 in float32 on a CPU and hides an overflow. `onnx.reference` does not,
but it loops over pixels in Python, and its GatherElements takes at most 64 choices: the operators
that this network spends its time in are NumPy functions here. Sums are made in float32 and rounded
once, as GPUs do it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from deploy.backends import Backend, TensorSpec
from export.graph.onnx_graph import need_onnx

if TYPE_CHECKING:
    import onnx


class ReferenceRuntime(Backend):
    """A graph in `onnx.reference.ReferenceEvaluator`, with the methods of every backend.

    Args:
        proto: The graph. Slow: seconds for a small clip, minutes for a large one.
    """

    def __init__(self, proto: onnx.ModelProto) -> None:
        library = need_onnx()
        from onnx.reference import ReferenceEvaluator

        self._evaluator: Any = ReferenceEvaluator(proto, new_ops=operators())
        self.name = f"onnx.reference {library.__version__}"
        self.inputs = tuple(map(_spec, proto.graph.input))
        self.outputs = tuple(map(_spec, proto.graph.output))
        self.metadata = {entry.key: entry.value for entry in proto.metadata_props}

    def _run(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [spec.name for spec in self.outputs]
        with np.errstate(all="ignore"):  # an overflow shows in the answer
            return dict(zip(names, self._evaluator.run(names, dict(feed)), strict=True))


def _spec(value: Any) -> TensorSpec:
    from onnx import helper

    tensor = value.type.tensor_type
    sizes = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
    return TensorSpec(
        value.name, np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type)), sizes
    )


def operators() -> list[type]:
    """Classes for `ReferenceEvaluator(new_ops=…)`."""
    from onnx.reference.op_run import OpRun

    return [type(name, (OpRun,), {"_run": staticmethod(_)}) for name, _ in FUNCTIONS.items()]


def conv(
    x: np.ndarray,
    w: np.ndarray,
    b: np.ndarray | None = None,
    group: int | None = None,
    **window: Any,
) -> tuple[np.ndarray]:
    """Conv of images ``(N, C, h, w)``: one matrix product for each place of the kernel."""
    groups, filters = group or 1, w.shape[0]
    kernel = w.astype(np.float32).reshape(groups, filters // groups, *w.shape[1:])
    total: Any = 0
    window["kernel_shape"] = w.shape[2:]  # a node need not state it
    for (i, j), part in _windows(x.astype(np.float32), 0.0, **window):
        n, _, height, width = part.shape
        columns = part.reshape(n, groups, -1, height * width)  # (N, G, C/G, h·w)
        tap = kernel[:, :, :, i, j]  # (G, F/G, C/G)
        total = total + (tap * columns if columns.shape[2] == 1 else tap @ columns)
    result = total.reshape(n, filters, height, width)
    if b is not None:
        result = result + b.astype(np.float32).reshape(1, -1, 1, 1)
    return (result.astype(x.dtype),)


def max_pool(x: np.ndarray, storage_order: int | None = None, **window: Any) -> tuple[np.ndarray]:
    """MaxPool of images, without the positions of the largest."""
    low = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    return (np.maximum.reduce([part for _, part in _windows(x, low, **window)]),)


def average_pool(
    x: np.ndarray, count_include_pad: int | None = None, **window: Any
) -> tuple[np.ndarray]:
    """AveragePool of images without padding."""
    _need(not any(window.get("pads") or ()), "AveragePool with padding")
    parts = [part for _, part in _windows(x.astype(np.float32), 0.0, **window)]
    return ((sum(parts[1:], parts[0]) / len(parts)).astype(x.dtype),)


def _windows(
    x: np.ndarray,
    fill: float,
    kernel_shape: Any,
    pads: Any = None,
    strides: Any = None,
    dilations: Any = None,
    auto_pad: str | None = None,
    ceil_mode: int | None = None,
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """For each place of a kernel what lies under it: ((i, j), ``(N, C, height, width)``).

    Args:
        x: Images ``(N, C, h, w)``.
        fill: What lies around them.
        kernel_shape, pads, strides, dilations, auto_pad, ceil_mode: As ONNX has them.
    """
    plain = auto_pad in (None, "NOTSET") and not ceil_mode and x.ndim == 4
    _need(plain, f"{x.ndim} axes with auto_pad={auto_pad}, ceil_mode={ceil_mode}")
    top, left, bottom, right = pads or (0, 0, 0, 0)
    down, across = strides or (1, 1)
    far, wide = dilations or (1, 1)
    padded = np.pad(
        x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=np.asarray(fill, x.dtype)
    )
    height = (padded.shape[2] - far * (kernel_shape[0] - 1) - 1) // down + 1
    width = (padded.shape[3] - wide * (kernel_shape[1] - 1) - 1) // across + 1
    for i in range(kernel_shape[0]):
        for j in range(kernel_shape[1]):
            rows = slice(i * far, i * far + (height - 1) * down + 1, down)
            columns = slice(j * wide, j * wide + (width - 1) * across + 1, across)
            yield (i, j), padded[:, :, rows, columns]


def resize(
    x: np.ndarray, roi: Any = None, scales: Any = None, sizes: Any = None, **how: Any
) -> tuple[np.ndarray]:
    """Resize to the nearest pixel at or before the position."""
    wanted = ("nearest", "asymmetric", "floor")
    names = ("mode", "coordinate_transformation_mode", "nearest_mode")
    _need(tuple(how.get(name) for name in names) == wanted, f"Resize other than {wanted}")
    if sizes is None or not len(sizes):
        sizes = np.floor(np.array(x.shape) * scales).astype(int)
    for axis, size in enumerate(sizes):
        if size != x.shape[axis]:
            x = x.take(np.arange(size) * x.shape[axis] // size, axis)
    return (x,)


def gather_elements(x: np.ndarray, indices: np.ndarray, axis: int | None = None) -> Any:
    """GatherElements, with any number of choices."""
    return (np.take_along_axis(x, indices.astype(np.int64), axis or 0),)


def scatter_elements(
    x: np.ndarray,
    indices: np.ndarray,
    updates: np.ndarray,
    axis: int | None = None,
    reduction: Any = None,
) -> Any:
    """ScatterElements that overwrite."""
    _need(reduction in (None, "none"), f"ScatterElements with reduction={reduction}")
    result = x.copy()
    np.put_along_axis(result, indices.astype(np.int64), updates, axis or 0)
    return (result,)


def _need(met: bool, what: str) -> None:
    if not met:
        raise ValueError(f"expected operators as this exporter writes them, received {what}")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "Conv": conv,
    "MaxPool": max_pool,
    "AveragePool": average_pool,
    "Resize": resize,
    "GatherElements": gather_elements,
    "ScatterElements": scatter_elements,
}

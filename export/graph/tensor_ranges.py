"""Ranges of a graph's tensors on given clips, measured in ONNX Runtime."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np

from export.graph.onnx_graph import Additions, with_outputs
from keras_ddl.edge.errors import MISSING, UserError

if TYPE_CHECKING:
    import onnx

METHODS = ("max", "moving-average", "percentile", "entropy")
PERCENTILE = 99.999  # of the values' magnitudes; docs/tensorrt.md has the comparison
MOMENTUM = 0.9  # weight of the past in the moving average, clip by clip
BINS = 2048
LEVELS = 128  # magnitudes that int8 tells apart, zero included
AT_ONCE = 16  # tensors whose values are fetched in one run: memory, not speed, is what limits


def collect_ranges(
    proto: onnx.ModelProto,
    clips: np.ndarray,
    names: Sequence[str],
    method: str = "percentile",
) -> dict[str, float]:
    """Run a graph on clips, one at a time, and find a range for each of some tensors.

    Args:
        proto: A float32 graph with one input.
        clips: What it takes, ``(N, …)`` with N at least 1; uint8 ``(N, T, S, S, 3)`` here.
        names: Float tensors of the graph, inputs and constants excluded.
        method: "max": largest magnitude; "moving-average": of the clips' largest magnitudes;
            "percentile": the magnitude that `PERCENTILE` of values stay below; "entropy": the cut
            that costs int8 the least information (Kullback-Leibler).

    Returns:
        Per name the magnitude to represent, finite and >= 0; 0 for a tensor that is always 0.

    Raises:
        UserError: onnxruntime is not installed (3), or a tensor has values that are not finite.
        ValueError: an unknown method, no clips.
    """
    if method not in METHODS:
        raise ValueError(f"expected one of {METHODS}, received {method!r}")
    if len(clips) == 0:
        raise ValueError("expected at least one clip, received none")
    largest = _largest(proto, clips, names)  # (N, tensors)
    for name, values in zip(names, largest.T, strict=True):
        if not np.all(np.isfinite(values)):
            raise UserError(f"'{name}' is not finite on the given clips: check model and clips")
    if method == "max":
        chosen = largest.max(axis=0)
    elif method == "moving-average":
        chosen = largest[0]
        for values in largest[1:]:
            chosen = MOMENTUM * chosen + (1 - MOMENTUM) * values
    else:
        counts = _histograms(proto, clips, names, largest.max(axis=0))
        cut = entropy_cut if method == "entropy" else percentile_cut
        chosen = largest.max(axis=0) * [cut(row) / BINS for row in counts]
    return dict(zip(names, map(float, chosen), strict=True))


def percentile_cut(counts: np.ndarray, percentile: float = PERCENTILE) -> int:
    """Return the number of bins, at least 1, that hold a percentage of what was counted."""
    share = np.cumsum(counts) / max(1, counts.sum())
    return int(np.searchsorted(share, percentile / 100 - 1e-12)) + 1


def entropy_cut(counts: np.ndarray) -> int:
    """The number of bins that int8 should span so that least information is lost.

    For each cut, what lies beyond is clipped into the last bin, the rest is merged to the levels
    that int8 has, and both are compared by the Kullback-Leibler divergence. Zeros are not counted:
    they are exact at any cut, and behind a ReLU they would outvote everything.

    Args:
        counts: Histogram of magnitudes, bins of equal width from 0.
    """
    counts = counts.astype(np.float64)
    counts[0] = counts[1] if len(counts) > 1 else counts[0]
    if not counts.any():
        return len(counts)
    beyond = counts[::-1].cumsum()[::-1]
    cuts = range(LEVELS, len(counts) + 1, LEVELS // 8)
    losses = [_divergence(counts[:n], beyond[n] if n < len(counts) else 0.0) for n in cuts]
    return cuts[int(np.argmin(losses))]


def _divergence(kept: np.ndarray, clipped: float) -> float:
    reference = kept.copy()
    reference[-1] += clipped
    edges = np.arange(LEVELS) * len(kept) // LEVELS
    sums = np.add.reduceat(kept, edges)
    filled = np.add.reduceat((kept > 0).astype(np.float64), edges)
    widths = np.diff(np.append(edges, len(kept)))
    merged = np.repeat(sums / np.maximum(filled, 1), widths) * (kept > 0)
    if not merged.any():
        return np.inf
    p, q = reference / reference.sum(), merged / merged.sum()
    at = p > 0
    return float(np.sum(p[at] * np.log(p[at] / np.maximum(q[at], 1e-12))))


def _largest(proto: onnx.ModelProto, clips: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Largest magnitude per clip and tensor; reduced in the graph, so only numbers come out."""
    from onnx import helper

    probe = deepcopy(proto)
    add = Additions(probe)
    del probe.graph.output[:]
    for name in names:
        size = add.node("Abs", [name], f"{name}/magnitude")
        top = add.node("ReduceMax", [size], f"{name}/largest", keepdims=0)
        probe.graph.output.append(helper.make_tensor_value_info(top, 1, ()))
    session = open_session(probe)
    rows = [session.run(None, feed) for feed in _feeds(proto, clips)]
    return np.array(rows, np.float64).reshape(len(clips), len(names))


def _histograms(
    proto: onnx.ModelProto, clips: np.ndarray, names: Sequence[str], largest: np.ndarray
) -> np.ndarray:
    """Counts of magnitudes ``(tensors, BINS)``, from 0 to each tensor's largest."""
    counts = np.zeros((len(names), BINS), np.int64)
    for start in range(0, len(names), AT_ONCE):
        chosen = range(start, min(start + AT_ONCE, len(names)))
        session = open_session(with_outputs(proto, [names[i] for i in chosen]))
        for feed in _feeds(proto, clips):
            for i, values in zip(chosen, session.run(None, feed), strict=True):
                top = largest[i] or 1.0
                counts[i] += np.histogram(np.abs(values), bins=BINS, range=(0, top))[0]
    return counts


def _feeds(proto: onnx.ModelProto, clips: Iterable[np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    name = proto.graph.input[0].name
    return ({name: np.ascontiguousarray(clip[None])} for clip in clips)


def open_exactly(proto: onnx.ModelProto) -> Any:
    """As `open_session`, each node as it stands: nothing is fused, no Cast left out."""
    return open_session(proto, optimised=False)


def open_session(proto: onnx.ModelProto, optimised: bool = True) -> Any:
    """ONNX Runtime on the CPU with a graph that may be of this project's own making.

    Raises:
        UserError: onnxruntime is not installed (3).
    """
    try:
        ort = importlib.import_module("onnxruntime")
    except ImportError as error:
        raise UserError(
            f"looking into a graph needs onnxruntime ({error}): pip install 'keras-ddl[trt]'",
            MISSING,
        ) from error
    options = ort.SessionOptions()
    options.log_severity_level = 4
    if not optimised:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )

"""The paper's two modules written out naively in NumPy, as an independent source of truth.

Everything here follows the definition and takes no short cut: DFDC forms every T x T product, MSA
cuts the clip into H-T and T-W slices and slides its kernels over them, gradients are reverse mode
derived by hand. Arithmetic is float64. Layout is PyTorch's: activations
``(clips * frames, channels, height, width)`` with the frames of a clip consecutive, kernels
``(out, in / groups, kh, kw)``.

Reference: Yin et al., Dynamic Difference Learning With Spatio-Temporal Correlation for Deepfake
Video Detection, IEEE TIFS 2023, and the authors' released network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

Array = np.ndarray
Arrays = Mapping[str, Array]
Backward = Callable[[Array], Array]
Step = tuple[Array, Backward]

NORM_EPS, RANGE_EPS, BN_EPS = 1e-12, 1e-8, 1e-5
VARIANCE_FLOOR = 1e-10


def _credit(grads: dict[str, Array], name: str, value: Array) -> None:
    """Add to the gradient of a parameter."""
    grads[name] = grads.get(name, 0.0) + value


def pointwise(x: Array, p: Arrays, name: str, grads: dict[str, Array]) -> Step:
    """1 x 1 convolution, with bias where `p` has one. `x` (N, C, A, B)."""
    weight, bias = p[f"{name}.weight"], p.get(f"{name}.bias")
    y = np.moveaxis(np.tensordot(weight[:, :, 0, 0], x, axes=(1, 1)), 0, 1)
    if bias is not None:
        y = y + bias[:, None, None]

    def backward(g: Array) -> Array:
        _credit(grads, f"{name}.weight", np.einsum("noab,ncab->oc", g, x)[:, :, None, None])
        if bias is not None:
            _credit(grads, f"{name}.bias", g.sum((0, 2, 3)))
        return np.einsum("noab,oc->ncab", g, weight[:, :, 0, 0])

    return y, backward


def depthwise(x: Array, p: Arrays, name: str, grads: dict[str, Array]) -> Step:
    """Depthwise convolution of odd kernel, stride 1, zeros around it, no bias. `x` (N, C, A, B)."""
    weight = p[f"{name}.weight"]
    (kh, kw), (high, wide) = weight.shape[2:], x.shape[2:]
    around = ((0, 0), (0, 0), (kh // 2, kh // 2), (kw // 2, kw // 2))
    padded = np.pad(x, around)
    taps = [(i, j, np.s_[:, :, i : i + high, j : j + wide]) for i in range(kh) for j in range(kw)]
    y = sum(padded[at] * weight[:, 0, i, j, None, None] for i, j, at in taps)

    def backward(g: Array) -> Array:
        g_padded, g_weight = np.zeros_like(padded), np.zeros_like(weight)
        for i, j, at in taps:
            g_padded[at] += g * weight[:, 0, i, j, None, None]
            g_weight[:, 0, i, j] = (g * padded[at]).sum((0, 2, 3))
        _credit(grads, f"{name}.weight", g_weight)
        return g_padded[:, :, kh // 2 : kh // 2 + high, kw // 2 : kw // 2 + wide]

    return y, backward


def batch_norm(x: Array, p: Arrays, name: str, grads: dict[str, Array]) -> Step:
    """Batch norm on its moving statistics, which count as constants. `x` (N, C, A, B)."""
    mean, var, scale, shift = (
        p[f"{name}.{part}"][:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    unit = (x - mean) / np.sqrt(var + BN_EPS)

    def backward(g: Array) -> Array:
        _credit(grads, f"{name}.weight", (g * unit).sum((0, 2, 3)))
        _credit(grads, f"{name}.bias", g.sum((0, 2, 3)))
        return g * scale / np.sqrt(var + BN_EPS)

    return unit * scale + shift, backward


def mean_pool(x: Array, axis: int, size: int) -> Step:
    """Mean over every `size` consecutive entries of one axis."""
    shape = x.shape
    y = x.reshape(*shape[:axis], shape[axis] // size, size, *shape[axis + 1 :]).mean(axis + 1)
    return y, lambda g: np.repeat(g, size, axis) / size


def nearest(x: Array, axis: int, size: int) -> Step:
    """Repeat every entry of one axis `size` times."""
    shape = x.shape
    return np.repeat(x, size, axis), lambda g: g.reshape(
        *shape[: axis + 1], size, *shape[axis + 1 :]
    ).sum(axis + 1)


def unit_length(x: Array) -> Step:
    """Divide by the length over axis 1, at least 1e-12 (on the length, not on its square)."""
    length = np.sqrt((x * x).sum(1, keepdims=True))
    safe = np.maximum(length, NORM_EPS)
    unit = x / safe

    def backward(g: Array) -> Array:
        radial = unit * (g * unit).sum(1, keepdims=True)
        return (g - np.where(length >= NORM_EPS, radial, 0.0)) / safe

    return unit, backward


def min_max(scores: Array) -> Step:
    """(M - min) / (max - min + 1e-8) over the last axis; one position carries each extreme."""
    low_at, high_at = scores.argmin(-1)[..., None], scores.argmax(-1)[..., None]
    low, high = (np.take_along_axis(scores, at, -1) for at in (low_at, high_at))
    span = high - low + RANGE_EPS

    def backward(g: Array) -> Array:
        out = g / span
        g_span = -(g * (scores - low)).sum(-1, keepdims=True) / span**2
        g_low = -out.sum(-1, keepdims=True) - g_span
        for at, value in ((low_at, g_low), (high_at, g_span)):
            np.put_along_axis(out, at, np.take_along_axis(out, at, -1) + value, -1)
        return out

    return (scores - low) / span, backward


def surviving(scores: Array, keep: int, rule: str, floor: float) -> Array:
    """Which positions fluctuate enough to be kept. `scores` (clips, T, P) -> bool (clips, 1, P).

    The K-th largest counts ties. `paper` keeps variance >= K-th largest, `released` > K-th largest.
    Variance is the unbiased one (ddof 1), which matters only against `floor`.
    """
    if rule not in ("paper", "released"):
        raise ValueError(f"rule: expected 'paper' or 'released', got {rule!r}")
    variance = scores.var(1, ddof=1)
    border = np.sort(variance, 1)[:, ::-1][:, keep - 1 : keep]
    if border.size == 0:  # fewer positions than K
        border = np.full((len(variance), 1), -np.inf)
    kept = variance >= border if rule == "paper" else variance > border
    return (kept & (variance >= floor))[:, None, :]


def _note_gaps(gaps: dict[str, float], scores: Array, kept: Array, lengths: Array) -> None:
    """Lower `gaps` to the least distances, relative, by which this call's decisions were taken.

    `rank`: last kept variance to first suppressed; `peak`: a frame's best score to its second;
    `length`: the shortest q or k at a kept position.
    """
    variance, chosen = scores.var(1, ddof=1), kept[:, 0]
    if chosen.any(1).all() and not chosen.all(1).any():
        last = np.where(chosen, variance, np.inf).min(1)
        gap = 1.0 - np.where(chosen, 0.0, variance).max(1) / last
        gaps["rank"] = min(gaps.get("rank", np.inf), float(gap.min()))
    frames = scores.shape[1]
    best = np.sort(np.where(kept, scores, -float(frames)), 2)[:, :, -2:]
    gap = (best[:, :, -1] - best[:, :, 0]) / frames
    gaps["peak"] = min(gaps.get("peak", np.inf), float(gap.min()))
    short = np.where(kept, lengths.reshape(scores.shape), np.inf).min()
    gaps["length"] = min(gaps.get("length", np.inf), float(short))


def dfdc(
    x: Array,
    params: Arrays,
    frames: int,
    keep: int | None = None,
    rule: str = "paper",
    variance_floor: float = VARIANCE_FLOOR,
    gaps: dict[str, float] | None = None,
) -> tuple[Array, Callable[[Array], dict[str, Array]]]:
    """Dynamic fine-grained difference capture.

    Args:
        x: (clips * frames, C, H, W).
        params: `q_conv.weight`, `k_conv.weight`, `v_conv.weight`, `gamma`.
        frames: T.
        keep: K of the K-th largest variance; None means H.
        rule: `paper` or `released`, see `surviving`.
        variance_floor: a variance below it is rounding error and counts as suppressed.
        gaps: receives the least distances at its decisions, see `_note_gaps`.

    Returns:
        y, and a function from the cotangent of y to the gradients of x and every parameter.
    """
    total, _, high, wide = x.shape
    clips, grads = total // frames, {}
    p = {name: np.asarray(value, np.float64) for name, value in params.items()}
    x = np.asarray(x, np.float64)
    (q, q_back), (k, k_back), (v, v_back) = (
        pointwise(x, p, name, grads) for name in ("q_conv", "k_conv", "v_conv")
    )
    lengths = np.sqrt(np.minimum((q * q).sum(1), (k * k).sum(1)))
    (q, q_unit), (k, k_unit) = unit_length(q), unit_length(k)
    split = (clips, frames, q.shape[1], high * wide)
    q, k = q.reshape(split), k.reshape(split)
    scores = -np.einsum("bicp,bjcp->bpij", q, k).sum(3).transpose(0, 2, 1)  # (clips, T, P)
    kept = surviving(scores, high if keep is None else keep, rule, variance_floor)
    if gaps is not None:
        _note_gaps(gaps, scores, kept, lengths)
    scaled, scale_back = min_max(np.where(kept, scores, -float(frames)))
    scaled = scaled.reshape(total, 1, high, wide)

    def backward(g: Array) -> dict[str, Array]:
        grads["gamma"] = np.array([(g * v * scaled).sum()])
        g_scores = scale_back((p["gamma"] * g * v).sum(1).reshape(clips, frames, high * wide))
        g_products = np.where(kept, g_scores, 0.0).transpose(0, 2, 1)[..., None]  # (clips, P, T, 1)
        g_products = np.broadcast_to(-g_products, (*g_products.shape[:3], frames))
        g_q = np.einsum("bpij,bjcp->bicp", g_products, k).reshape(total, -1, high, wide)
        g_k = np.einsum("bpij,bicp->bjcp", g_products, q).reshape(total, -1, high, wide)
        g_x = g + v_back(p["gamma"] * g * scaled) + q_back(q_unit(g_q)) + k_back(k_unit(g_k))
        return {"x": g_x, **grads}

    return x + p["gamma"] * v * scaled, backward


SCALES = ((1, "conv"), (2, "conv_down"), (4, "conv_down2"))
DIRECTIONS = {  # axes of (clips, T, C, H, W) that make slices (slices, C, a, b), and where time is
    "vertical": ((0, 4, 2, 3, 1), 3),  # (clips * W, C, H, T), kernels (C, 1, 1, 3)
    "horizontal": ((0, 3, 2, 1, 4), 2),  # (clips * H, C, T, W), kernels (C, 1, 3, 1)
}


def _branch(s: Array, p: Arrays, direction: str, time: int, grads: dict[str, Array]) -> Step:
    """Three time scales of one direction, averaged, merged, squashed. `s` (slices, C, a, b)."""
    paths, total = [], 0.0
    for size, part in SCALES:
        name, path = f"{direction}_{part}", []
        out, back = mean_pool(s, time, size)
        path.append(back)
        for operation, suffix in ((depthwise, "0.conv1"), (pointwise, "0.pointwise")):
            out, back = operation(out, p, f"{name}.{suffix}", grads)
            path.append(back)
        out, back = batch_norm(out, p, f"{name}.1", grads)
        path.append(back)
        out, back = nearest(out, time, size)
        path.append(back)
        total, paths = total + out / 3.0, [*paths, path]
    merged, merge_back = pointwise(total, p, f"{direction}_conv_merge.0", grads)
    merged, norm_back = batch_norm(merged, p, f"{direction}_conv_merge.1", grads)
    gate = 1.0 / (1.0 + np.exp(-merged))

    def backward(g: Array) -> Array:
        g_total = merge_back(norm_back(g * gate * (1.0 - gate))) / 3.0
        g_slices = np.zeros_like(s)
        for path in paths:
            out = g_total
            for back in reversed(path):
                out = back(out)
            g_slices += out
        return g_slices

    return gate, backward


def msa(x: Array, params: Arrays, frames: int) -> tuple[Array, Callable[[Array], dict[str, Array]]]:
    """Multi-scale spatio-temporal aggregation, batch norm on its moving statistics.

    Args:
        x: (clips * frames, C, H, W).
        params: names as in `network_shapes`, without the leading `blockN.hv_att.`.
        frames: T, a multiple of 4.

    Returns:
        y, and a function from the cotangent of y to the gradients of x and every parameter.
    """
    total, channels, high, wide = x.shape
    clip_shape = (total // frames, frames, channels, high, wide)
    p = {name: np.asarray(value, np.float64) for name, value in params.items()}
    x, grads, gates, paths = np.asarray(x, np.float64), {}, 0.0, []
    for direction, (axes, time) in DIRECTIONS.items():
        slices = x.reshape(clip_shape).transpose(axes)
        gate, back = _branch(slices.reshape(-1, *slices.shape[2:]), p, direction, time, grads)
        restore = np.argsort(axes)
        gates = gates + 0.5 * (gate.reshape(slices.shape).transpose(restore) - 0.5)
        paths.append((axes, slices.shape, gate.shape, restore, back))
    gates = gates.reshape(x.shape)

    def backward(g: Array) -> dict[str, Array]:
        g_x = g + p["gamma"] * g * gates
        g_gates = (0.5 * p["gamma"] * g * x).reshape(clip_shape)
        for axes, cut, flat, restore, back in paths:
            g_slices = back(g_gates.transpose(axes).reshape(flat)).reshape(cut)
            g_x = g_x + g_slices.transpose(restore).reshape(x.shape)
        return {"x": g_x, "gamma": np.array([(g * x * gates).sum()]), **grads}

    return x + p["gamma"] * x * gates, backward

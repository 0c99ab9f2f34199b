"""The authors' released network, compact_xception, forward only and naive, in NumPy float64."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from naive_modules import SCALES, Array, Arrays, batch_norm, depthwise, dfdc, msa, pointwise

BLOCKS = (  # in, out, stride, separable convolutions
    (64, 128, 2, 2),
    (128, 256, 2, 2),
    (256, 512, 2, 2),
    (512, 512, 1, 3),
    (512, 512, 1, 3),
    (512, 512, 1, 3),
    (512, 512, 2, 3),
)


def _norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {f"{name}.{part}": (width,) for part in parts}


def _separable_shapes(name: str, wide: int, out: int) -> dict[str, tuple[int, ...]]:
    return {
        f"{name}.conv1.weight": (wide, 1, 3, 3),
        f"{name}.pointwise.weight": (out, wide, 1, 1),
    }


def dfdc_shapes(channels: int, reduction: int = 8) -> dict[str, tuple[int, ...]]:
    """Every parameter of DFDC."""
    narrow = (channels // reduction, channels, 1, 1)
    square = (channels, channels, 1, 1)
    return {
        "gamma": (1,),
        "q_conv.weight": narrow,
        "k_conv.weight": narrow,
        "v_conv.weight": square,
    }


def msa_shapes(channels: int) -> dict[str, tuple[int, ...]]:
    """Every parameter of MSA."""
    shapes: dict[str, tuple[int, ...]] = {"gamma": (1,)}
    narrow = channels // 4
    for direction, taps in (("horizontal", (3, 1)), ("vertical", (1, 3))):
        for _, part in SCALES:
            name = f"{direction}_{part}"
            shapes[f"{name}.0.conv1.weight"] = (channels, 1, *taps)
            shapes[f"{name}.0.pointwise.weight"] = (narrow, channels, 1, 1)
            shapes.update(_norm_shapes(f"{name}.1", narrow))
        shapes[f"{direction}_conv_merge.0.weight"] = (channels, narrow, 1, 1)
        shapes[f"{direction}_conv_merge.0.bias"] = (channels,)
        shapes.update(_norm_shapes(f"{direction}_conv_merge.1", channels))
    return shapes


def network_shapes(frames: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of compact_xception."""
    shapes: dict[str, tuple[int, ...]] = {"conv1.weight": (32, 3, 3, 3)}
    shapes.update({"conv2.weight": (64, 32, 3, 3), **_norm_shapes("bn1", 32)})
    shapes.update(_norm_shapes("bn2", 64))
    for number, (wide, out, stride, depth) in enumerate(BLOCKS, 1):
        name = f"block{number}"
        shapes.update({f"{name}.neg_sim.{k}": v for k, v in dfdc_shapes(wide).items()})
        shapes.update({f"{name}.hv_att.{k}": v for k, v in msa_shapes(wide).items()})
        if stride > 1:
            shapes[f"{name}.block.skip.weight"] = (out, wide, 1, 1)
            shapes.update(_norm_shapes(f"{name}.block.skipbn", out))
        for i in range(depth):
            shapes.update(_separable_shapes(f"{name}.block.rep.{3 * i}", out if i else wide, out))
            shapes.update(_norm_shapes(f"{name}.block.rep.{3 * i + 1}", out))
    for number, out in ((3, 512), (4, 256)):
        shapes.update(_separable_shapes(f"conv{number}", 512, out))
        shapes.update(_norm_shapes(f"bn{number}", out))
    shapes["fea_fusion.convblk.0.weight"] = (1024, 256 * frames, 1, 1)
    shapes.update(_norm_shapes("fea_fusion.convblk.1", 1024))
    shapes["fea_fusion.ca.sharedMLP.0.weight"] = (64, 1024, 1, 1)
    shapes["fea_fusion.ca.sharedMLP.2.weight"] = (1024, 64, 1, 1)
    return {**shapes, "fc.weight": (2, 1024), "fc.bias": (2,)}


def draw(name: str, shape: tuple[int, ...], prefix: str = "") -> Array:
    """A tensor drawn from its own name, float32; `prefix` varies the draw."""
    z = np.random.RandomState(zlib.crc32(f"{prefix}{name}".encode())).standard_normal(shape)
    z = z.astype(np.float32)
    if name.endswith("running_var"):
        return np.float32(0.5) + np.abs(z)
    if name.endswith("running_mean"):
        return np.float32(0.1) * z
    if name.endswith("gamma"):
        return np.float32(0.5) + np.float32(0.1) * z
    if len(shape) == 1:
        return np.float32(name.endswith(".weight")) + np.float32(0.1) * z
    return (z / np.sqrt(np.prod(shape[1:]))).astype(np.float32)


def _sub(params: Arrays, prefix: str) -> dict[str, Array]:
    return {k[len(prefix) :]: v for k, v in params.items() if k.startswith(prefix)}


def _windows(x: Array, stride: int, fill: float) -> Iterator[tuple[int, int, Array]]:
    """The nine shifted views a 3 x 3 kernel sees, one entry of padding on each side."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=fill)
    high, wide = x.shape[2], x.shape[3]
    for i in range(3):
        for j in range(3):
            yield i, j, padded[:, :, i : i + high : stride, j : j + wide : stride]


def _conv3(x: Array, weight: Array, stride: int) -> Array:
    return sum(
        np.moveaxis(np.tensordot(weight[:, :, i, j], view, axes=(1, 1)), 0, 1)
        for i, j, view in _windows(x, stride, 0.0)
    )


def _max_pool(x: Array) -> Array:
    return np.max([view for _, _, view in _windows(x, 2, -np.inf)], axis=0)


def _relu(x: Array) -> Array:
    return np.maximum(x, 0.0)


def _separable(x: Array, p: Arrays, conv: str, norm: str) -> Array:
    x = depthwise(x, p, f"{conv}.conv1", {})[0]
    return batch_norm(pointwise(x, p, f"{conv}.pointwise", {})[0], p, norm, {})[0]


def _residual(x: Array, p: Arrays, stride: int, depth: int) -> Array:
    out = x
    for i in range(depth):
        out = _separable(_relu(out) if i else out, p, f"rep.{3 * i}", f"rep.{3 * i + 1}")
    if stride == 1:
        return out + x
    skip = pointwise(x[:, :, ::stride, ::stride], p, "skip", {})[0]
    return _max_pool(out) + batch_norm(skip, p, "skipbn", {})[0]


def compact_xception(
    clip: Array,
    params: Arrays,
    keep: int | None = None,
    rule: str = "released",
    taps: dict[str, Array] | None = None,
    gaps: dict[str, float] | None = None,
) -> Array:
    """The authors' released network.

    Args:
        clip: uint8 RGB (clips, T, S, S, 3).
        params: names as in `network_shapes`.
        keep: see `dfdc`.
        rule: see `dfdc`.
        taps: receives the outputs of block1 to block7 and fea_fusion.
        gaps: see `dfdc`.

    Returns:
        Logits (clips, 2), class 1 = fake.
    """
    p = {name: np.asarray(value, np.float64) for name, value in params.items()}
    clips, frames = clip.shape[:2]
    taps = {} if taps is None else taps
    x = clip.reshape(-1, *clip.shape[2:]).transpose(0, 3, 1, 2) / 255.0
    for number, stride in ((1, 1), (2, 2)):
        x = _conv3(x, p[f"conv{number}.weight"], stride)
        x = _relu(batch_norm(x, p, f"bn{number}", {})[0])
    for number, (_, _, stride, depth) in enumerate(BLOCKS, 1):
        inner = _sub(p, f"block{number}.")
        x = x if number == 1 else _relu(x)
        x, _ = dfdc(x, _sub(inner, "neg_sim."), frames, keep, rule, gaps=gaps)
        x, _ = msa(x, _sub(inner, "hv_att."), frames)
        taps[f"block{number}"] = x = _residual(x, _sub(inner, "block."), stride, depth)
    x = _relu(_separable(_relu(x), p, "conv3", "bn3"))
    x = _relu(_separable(x, p, "conv4", "bn4"))
    x = x.reshape(clips, -1, *x.shape[2:])  # frame-major channels
    fused = _sub(p, "fea_fusion.")
    x = pointwise(x, fused, "convblk.0", {})[0]
    x = _relu(batch_norm(x, fused, "convblk.1", {})[0])
    gate = 0.0
    for pooled in (x.mean((2, 3), keepdims=True), x.max((2, 3), keepdims=True)):
        hidden = _relu(pointwise(pooled, fused, "ca.sharedMLP.0", {})[0])
        gate = gate + pointwise(hidden, fused, "ca.sharedMLP.2", {})[0]
    taps["fea_fusion"] = x = x + x / (1.0 + np.exp(-gate))
    return x.mean((2, 3)) @ p["fc.weight"].T + p["fc.bias"]

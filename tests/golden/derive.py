"""Golden vectors of DFDC, MSA and compact_xception, and the command that rewrites them.

    python tests/golden/derive.py

The arithmetic is in `naive_modules` and `naive_network`, NumPy only; see README.md for the files.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from naive_modules import Array, Arrays, dfdc, msa
from naive_network import compact_xception, dfdc_shapes, draw, msa_shapes, network_shapes

__all__ = ["compact_xception", "dfdc", "draw", "main", "msa", "network_shapes"]

HERE = Path(__file__).resolve().parent
CLIPS = 2
GRID = 64
"""Inputs and cotangents are multiples of 1/64, exact in float16 and small when compressed."""
MIN_GAP = {"rank": 3e-4, "peak": 1e-4, "length": 0.05}
"""Least distance at every decision, so that float32 code decides alike on a stored vector, and
least length before normalising, so that it computes the gradient as well as its format allows."""
TAP = np.s_[0, :4, :4, :4]

DFDC_CASES = (  # T, H, W, C, reduction, rule, keep (K; None = H), ending of the file's name
    (4, 5, 7, 16, 8, "paper", None, "paper"),
    (4, 5, 7, 16, 8, "released", None, "released"),
    (8, 6, 6, 8, 4, "paper", None, "paper"),
    (8, 6, 6, 8, 4, "released", None, "released"),
    (12, 3, 5, 16, 8, "paper", None, "paper"),
    (12, 3, 5, 16, 8, "released", None, "released"),
    (8, 5, 7, 8, 4, "paper", 3, "keep3"),  # neither H nor H - 1
    (4, 5, 1, 16, 8, "paper", None, "paper"),  # every position survives: the minimum moves too
    (8, 5, 5, 16, 8, "paper", None, "identical"),  # all variances rounding error: y = x
)
MSA_CASES = ((4, 5, 7, 16), (8, 6, 6, 8), (12, 3, 5, 8))  # T, H, W, C
NETWORK_CASES = ((4, 64, "paper"), (4, 64, "released"), (8, 64, "paper"), (8, 64, "released"))


def _draw_grid(rng: np.random.RandomState, shape: tuple[int, ...]) -> Array:
    return (np.round(rng.standard_normal(shape) * GRID) / GRID).astype(np.float32)


def _draw_x(seed: int, shape: tuple[int, ...], frames: int, identical: bool) -> Array:
    """The input: noise, with one pixel of the first clip dead (0 in every channel and frame)."""
    x = _draw_grid(np.random.RandomState(seed), shape)
    if identical:
        x = np.repeat(x[::frames], frames, axis=0)
    if shape[3] > 1:
        x[:frames, :, 0, 0] = 0.0
    return x


def _packed(
    x: Array, y: Array, cotangent: Array, params: Arrays, grads: Arrays
) -> dict[str, Array]:
    packed = {"x": x, "y": y, "cotangent": cotangent}
    packed.update({f"param.{name}": value for name, value in params.items()})
    packed.update({f"grad.{name}": value for name, value in grads.items()})
    return {name: np.asarray(value, np.float32) for name, value in packed.items()}


def dfdc_vector(case: tuple[int, int, int, int, int, str, int | None, str]) -> dict[str, Array]:
    """One DFDC vector; the first seed whose decisions are all clear is taken."""
    frames, high, wide, channels, reduction, rule, keep, ending = case
    shape = (CLIPS * frames, channels, high, wide)
    seed = 1000 * frames + 10 * high + wide
    shapes = dfdc_shapes(channels, reduction)
    params = {name: draw(name, size, f"dfdc{seed}.") for name, size in shapes.items()}
    while True:
        x, gaps = _draw_x(seed, shape, frames, ending == "identical"), {}
        y, backward = dfdc(x, params, frames, keep, rule, gaps=gaps)
        clear = all(gap >= MIN_GAP[name] for name, gap in gaps.items())
        if clear or ending == "identical":
            break
        seed += 100_000
    cotangent = _draw_grid(np.random.RandomState(seed + 1), shape)
    packed = _packed(x, y, cotangent, params, backward(cotangent.astype(np.float64)))
    survivors = high if keep is None else keep
    keeps = survivors if rule == "paper" else survivors - 1
    settings = {"frames": frames, "keep": keeps, "reduction": reduction}
    return {**packed, **{name: np.array(value) for name, value in settings.items()}}


def msa_vector(case: tuple[int, int, int, int]) -> dict[str, Array]:
    """One MSA vector."""
    frames, high, wide, channels = case
    shape = (CLIPS * frames, channels, high, wide)
    seed = 2000 * frames + 10 * high + wide
    params = {k: draw(k, v, f"msa{seed}.") for k, v in msa_shapes(channels).items()}
    x = _draw_x(seed, shape, frames, identical=False)
    cotangent = _draw_grid(np.random.RandomState(seed + 1), shape)
    y, backward = msa(x, params, frames)
    packed = _packed(x, y, cotangent, params, backward(cotangent.astype(np.float64)))
    return {**packed, "frames": np.array(frames)}


def network_input(seed: int, frames: int, size: int) -> Array:
    """The clips a network vector is computed on, uint8 RGB (clips, T, S, S, 3)."""
    shape = (CLIPS, frames, size, size, 3)
    return np.random.RandomState(seed).randint(0, 256, shape).astype(np.uint8)


def network_vector(case: tuple[int, int, str], first_seed: int = 1) -> dict[str, Array]:
    """One whole-network vector; the first seed whose rankings are all clear is taken."""
    frames, size, rule = case
    shapes = network_shapes(frames)
    params = {name: draw(name, shape) for name, shape in shapes.items()}
    seed = first_seed
    while True:
        taps, gaps = {}, {}
        clip = network_input(seed, frames, size)
        logits = compact_xception(clip, params, rule=rule, taps=taps, gaps=gaps)
        if gaps["rank"] >= MIN_GAP["rank"]:
            break
        seed += 1
    packed = {f"tap.{name}": value[TAP].astype(np.float32) for name, value in taps.items()}
    return {
        "logits": logits.astype(np.float32),
        **packed,
        "names": np.array(list(shapes)),
        "shapes": np.array([str(shape) for shape in shapes.values()]),
        "seed": np.array(seed),
        "frames": np.array(frames),
        "size": np.array(size),
        "rule": np.array(rule),
    }


def vector_names() -> dict[str, tuple]:
    """Every file's name without its ending, and the case it holds."""
    cases: dict[str, tuple] = {}
    for case in DFDC_CASES:
        frames, high, wide, channels, *_, ending = case
        cases[f"dfdc_T{frames}_H{high}_W{wide}_C{channels}_{ending}"] = case
    for case in MSA_CASES:
        cases["msa_T{}_H{}_W{}_C{}".format(*case)] = case
    for case in NETWORK_CASES:
        cases["network_T{}_S{}_{}".format(*case)] = case
    return cases


def main(argv: Sequence[str] | None = None) -> int:
    """Rewrite every vector."""
    parser = argparse.ArgumentParser(description="Rewrite the golden vectors.")
    parser.add_argument("--out", type=Path, default=HERE, help="folder (default: this file's)")
    out = parser.parse_args(argv).out
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    makers = {"dfdc": dfdc_vector, "msa": msa_vector, "network": network_vector}
    total = 0
    for name, case in vector_names().items():
        target = out / f"{name}.npz"
        np.savez_compressed(target, **makers[name.split("_")[0]](case))
        total += target.stat().st_size
        logging.info("%s %d bytes", target.name, target.stat().st_size)
    logging.info("%d bytes together", total)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""DFDC and MSA against every stored vector: values, and gradients of input and parameters.

The vectors lie in PyTorch's layout and come in through `load_released_weights`, as released weights
do. Gradients are compared by loading them the same way into a second layer, so that each lies
where the parameter it belongs to lies. Tolerance: tests/golden/README.md.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.import_released import load_released_weights
from keras_ddl.layers import DFDC, MSA

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
STORED = sorted(path.stem for path in GOLDEN.glob("*.npz") if not path.stem.startswith("network"))
SIZES = ("T4_H8_W8_C16", "T8_H16_W16_C16", "T8_H6_W10_C32")
REFERENCE = (
    *(f"dfdc_{size}" for size in SIZES),
    *(f"dfdc_{size}_paper" for size in SIZES),
    *(f"msa_{size}" for size in SIZES),
)


def channels_last(array: np.ndarray) -> np.ndarray:
    return array.transpose(0, 2, 3, 1)


def layer_for(name: str, data: dict[str, np.ndarray]) -> Any:
    frames, height = (int(part[1:]) for part in name.split("_")[1:3])
    if name.startswith("msa"):
        return MSA(frames)
    keep = int(data.get("keep", height - 1))  # the reference's unmarked files: the released rule
    if name.endswith("paper"):
        keep = None
    return DFDC(frames, keep, int(data.get("reduction", 8)))


def loaded(layer: Any, data: dict[str, np.ndarray], kind: str, shape: tuple[int, ...]) -> Any:
    """The layer with the arrays `kind`<name> in its weights; statistics have no grad."""
    layer.build(shape)
    statistics = {key: value for key, value in data.items() if ".running_" in key}
    arrays = {key.replace("param.", kind): 0 * value for key, value in statistics.items()}
    arrays.update({key: value for key, value in data.items() if key.startswith(kind)})
    arrays.pop("grad.x", None)
    load_released_weights(layer, arrays, prefix=kind)
    return layer


def check(name: str, data: dict[str, np.ndarray], near) -> None:
    x = tf.constant(channels_last(data["x"]))
    layer = loaded(layer_for(name, data), data, "param.", x.shape)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = layer(x)
        total = tf.reduce_sum(y * channels_last(data["cotangent"]))
    grad_x, *grads = tape.gradient(total, [x, *layer.trainable_weights])
    near(y, channels_last(data["y"]), 1e-5, "y")
    near(grad_x, channels_last(data["grad.x"]), 1e-5, "grad.x")
    wanted = loaded(layer_for(name, data), data, "grad.", x.shape).trainable_weights
    for got, want in zip(grads, wanted, strict=True):
        near(got, want, 1e-5, f"gradient of {want.name}")


def test_the_vectors_cover_both_layers_rules_and_lengths() -> None:
    kinds = {(name.split("_")[0], name.split("_")[1]) for name in STORED}
    assert kinds == {(layer, frames) for layer in ("dfdc", "msa") for frames in ("T4", "T8", "T12")}
    endings = {name.split("_")[-1] for name in STORED if name.startswith("dfdc")}
    assert endings == {"paper", "released", "keep3", "identical"}


@pytest.mark.parametrize("name", STORED)
def test_own_vector(name: str, near) -> None:
    check(name, dict(np.load(GOLDEN / f"{name}.npz")), near)


@pytest.mark.parametrize("name", REFERENCE)
def test_the_authors_vector(name: str, near, shared_reference: Path) -> None:
    check(name, dict(np.load(shared_reference / f"{name}.npz")), near)

"""The naive derivation against itself, against the stored vectors and against the authors'."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))

import derive
from naive_modules import min_max
from naive_network import dfdc_shapes, msa_shapes

Array = np.ndarray
FRAMES = 4
SIZE_LIMIT = 600_000

REFERENCE_DFDC = ("T4_H8_W8_C16", "T8_H16_W16_C16", "T8_H6_W10_C32")
REFERENCE_MODULES = (  # file, rule (None: MSA)
    *((f"dfdc_{name}", "released") for name in REFERENCE_DFDC),
    *((f"dfdc_{name}_paper", "paper") for name in REFERENCE_DFDC),
    *((f"msa_{name}", None) for name in REFERENCE_DFDC),
)


def _params(shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    return {k: derive.draw(k, v, "test.").astype(np.float64) for k, v in shapes.items()}


def _noise(*shape: int, seed: int = 3) -> Array:
    return np.random.RandomState(seed).standard_normal(shape)


def _assert_near(got: Array, want: Array, tolerance: float, name: str) -> None:
    """Within `tolerance`, relative to the largest entry where that exceeds 1."""
    allowed = tolerance * max(1.0, float(np.abs(want).max()))
    np.testing.assert_allclose(got, want, rtol=0, atol=allowed, err_msg=name)


def _check_gradients(apply: Callable, x: Array, params: dict[str, Array]) -> None:
    """Compare the gradient along random directions with central differences."""
    y, backward = apply(x, params)
    cotangent = _noise(*y.shape, seed=5)
    grads = backward(cotangent)
    step = 1e-6
    for number, name in enumerate(grads):
        along = _noise(*grads[name].shape, seed=100 + number)
        values = []
        for sign in (1, -1):
            if name == "x":
                moved = apply(x + sign * step * along, params)[0]
            else:
                moved = apply(x, {**params, name: params[name] + sign * step * along})[0]
            values.append((moved * cotangent).sum())
        numeric = (values[0] - values[1]) / (2 * step)
        assert (grads[name] * along).sum() == pytest.approx(numeric, rel=1e-6, abs=1e-6), name


@pytest.mark.parametrize("rule", ["paper", "released"])
@pytest.mark.parametrize(
    ("high", "wide"),
    [(3, 5), (4, 1)],  # some suppressed · with the paper's rule none is, so the minimum moves too
)
def test_dfdc_gradients_match_finite_differences(rule: str, high: int, wide: int) -> None:
    params = _params(dfdc_shapes(16))
    x = _noise(2 * FRAMES, 16, high, wide)
    _check_gradients(lambda a, p: derive.dfdc(a, p, FRAMES, rule=rule), x, params)


def test_msa_gradients_match_finite_differences() -> None:
    params = _params(msa_shapes(8))
    statistics = {k: v for k, v in params.items() if "running" in k}
    x = _noise(2 * FRAMES, 8, 3, 5)
    _check_gradients(lambda a, p: derive.msa(a, {**p, **statistics}, FRAMES), x, params)


def test_min_max_of_numbers_a_person_can_check() -> None:
    y, backward = min_max(np.array([[-4.0, 0.0, 4.0]]))
    np.testing.assert_allclose(y, [[0.0, 0.5, 1.0]], atol=1e-8)
    # M = (b - a) / (c - a): d/da = (b - c) / 64, d/db = 1 / 8, d/dc = (a - b) / 64
    grad = backward(np.array([[0.0, 1.0, 0.0]]))
    np.testing.assert_allclose(grad, [[-4 / 64, 1 / 8, -4 / 64]], atol=1e-8)


@pytest.mark.parametrize(
    ("rule", "keep", "survivors"),
    [
        ("paper", None, 3),  # H
        ("released", None, 2),  # H - 1
        ("paper", 1, 1),
        ("released", 1, 0),  # nothing: y = x
        ("paper", 99, 15),  # more than there are positions: all
    ],
)
def test_dfdc_changes_the_surviving_positions_only(
    rule: str, keep: int | None, survivors: int
) -> None:
    x = _noise(FRAMES, 16, 3, 5)
    y, _ = derive.dfdc(x, _params(dfdc_shapes(16)), FRAMES, keep, rule)
    changed = (y != x).any((0, 1)).sum()
    # where everything survives each frame's lowest ends at 0, but not the same one in all frames
    assert changed == survivors


def test_identical_frames_have_no_fluctuation() -> None:
    x = np.repeat(_noise(2, 16, 5, 5), FRAMES, axis=0)
    params = _params(dfdc_shapes(16))
    y, backward = derive.dfdc(x, params, FRAMES)
    np.testing.assert_array_equal(y, x)
    grads = backward(np.ones_like(x))
    np.testing.assert_array_equal(grads.pop("x"), np.ones_like(x))
    assert all(np.abs(value).max() == 0 for value in grads.values())
    unguarded, _ = derive.dfdc(x, params, FRAMES, variance_floor=-1.0)
    assert np.abs(unguarded - x).max() > 0.1, "without the floor rounding error decides"


def test_unknown_rule_is_refused() -> None:
    with pytest.raises(ValueError, match="rule: expected"):
        derive.dfdc(_noise(4, 16, 2, 2), _params(dfdc_shapes(16)), FRAMES, rule="other")


def _split(data: dict[str, Array], kind: str) -> dict[str, Array]:
    return {k[len(kind) :]: v for k, v in data.items() if k.startswith(kind)}


def _check_module(data: dict[str, Array], frames: int, tolerance: float, **dfdc: object) -> None:
    params, want = _split(data, "param."), _split(data, "grad.")
    module = derive.dfdc if dfdc else derive.msa
    y, backward = module(data["x"], params, frames, **dfdc)
    got = backward(data["cotangent"].astype(np.float64))
    assert got.keys() == want.keys()
    _assert_near(y, data["y"], tolerance, "y")
    for name, value in want.items():
        _assert_near(got[name], value, tolerance, f"grad.{name}")


STORED = derive.vector_names()


@pytest.mark.parametrize("name", [name for name in STORED if not name.startswith("network")])
def test_stored_module_vector_is_what_the_derivation_gives(name: str) -> None:
    data = dict(np.load(derive.HERE / f"{name}.npz"))
    # the file's `keep` counts survivors, which is what the paper's rule calls K
    dfdc = {"keep": int(data["keep"]), "rule": "paper"} if name.startswith("dfdc") else {}
    _check_module(data, int(data["frames"]), 1e-6, **dfdc)


def test_no_vector_is_missing_surplus_or_large() -> None:
    files = list(derive.HERE.glob("*.npz"))
    assert {path.stem for path in files} == set(STORED)
    assert sum(path.stat().st_size for path in files) < SIZE_LIMIT


@pytest.mark.parametrize(("name", "rule"), REFERENCE_MODULES)
def test_modules_match_the_authors(shared_reference: Path, name: str, rule: str | None) -> None:
    data = dict(np.load(shared_reference / f"{name}.npz"))
    frames = int(name.split("_")[1][1:])
    _check_module(data, frames, 1e-5, **({"rule": rule} if rule else {}))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in STORED if name.startswith("network")])
def test_stored_network_vector_is_what_the_derivation_gives(name: str) -> None:
    want = dict(np.load(derive.HERE / f"{name}.npz"))
    got = derive.network_vector(STORED[name], first_seed=int(want["seed"]))
    assert got.keys() == want.keys()
    for key, value in want.items():
        if value.dtype.kind == "f":
            _assert_near(got[key], value, 1e-6, key)
        else:
            np.testing.assert_array_equal(got[key], value, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("size", [128, 256])
def test_network_matches_the_authors(shared_reference: Path, size: int) -> None:
    want = dict(np.load(shared_reference / f"network_{size}.npz"))
    shapes, taps = derive.network_shapes(8), {}
    listed = dict(zip(want["names"].tolist(), want["shapes"].tolist(), strict=True))
    assert {name: str(shape) for name, shape in shapes.items()} == listed
    params = {name: derive.draw(name, shape) for name, shape in shapes.items()}
    clip = derive.network_input(1, 8, size)
    logits = derive.compact_xception(clip, params, taps=taps)
    _assert_near(logits, want["logits"], 1e-5, "logits")
    for name, value in taps.items():
        _assert_near(value[derive.TAP], want[f"tap.{name}"], 1e-5, name)

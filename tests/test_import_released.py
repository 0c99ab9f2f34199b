"""Weights in from the authors' naming: all of them or none, and never by running a pickle."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

sys.path.insert(0, str(Path(__file__).resolve().parent / "golden"))

from naive_network import dfdc_shapes, draw, msa_shapes, network_shapes

from keras_ddl import build_model
from keras_ddl.edge.errors import UserError
from keras_ddl.framework import keras
from keras_ddl.import_released import load_released_weights, main, read_arrays
from keras_ddl.layers import DFDC, MSA

ROOT = Path(__file__).resolve().parents[1]
Arrays = dict[str, np.ndarray]


def drawn(shapes: dict[str, tuple[int, ...]], prefix: str = "") -> Arrays:
    return {f"{prefix}{name}": draw(name, shape) for name, shape in shapes.items()}


@pytest.fixture
def dfdc() -> DFDC:
    layer = DFDC(4, name="block2_dfdc")
    layer.build((None, 3, 5, 16))
    return layer


@pytest.fixture
def msa() -> MSA:
    layer = MSA(4, name="block2_msa")
    layer.build((None, 3, 5, 8))
    return layer


@pytest.fixture
def dfdc_arrays() -> Arrays:
    return drawn(dfdc_shapes(16))


# One layer


def test_every_number_arrives_once(msa: MSA) -> None:
    shapes = msa_shapes(8)
    sizes = [int(np.prod(shape)) for shape in shapes.values()]
    starts = np.cumsum([0, *sizes])
    arrays = {
        name: np.arange(start, start + size, dtype=np.float32).reshape(shape)
        for (name, shape), start, size in zip(shapes.items(), starts, sizes, strict=False)
    }
    load_released_weights(msa, arrays)
    loaded = np.concatenate([np.ravel(weight) for weight in msa.weights])
    np.testing.assert_array_equal(np.sort(loaded), np.arange(sum(sizes)))


def test_kernels_turn_from_out_in_height_width(dfdc: DFDC, dfdc_arrays: Arrays) -> None:
    load_released_weights(dfdc, dfdc_arrays)
    released = dfdc_arrays["q_conv.weight"]  # (out, in, 1, 1)
    assert released.shape == (2, 16, 1, 1)
    np.testing.assert_array_equal(dfdc.query.kernel[0, 0], released[:, :, 0, 0].T)
    np.testing.assert_array_equal(dfdc.gamma, dfdc_arrays["gamma"])


def test_missing_surplus_and_misshapen_are_listed_together(dfdc, dfdc_arrays: Arrays) -> None:
    before = dfdc.get_weights()
    del dfdc_arrays["gamma"]
    dfdc_arrays["k_conv.weight"] = dfdc_arrays["k_conv.weight"][:1]
    dfdc_arrays["v_conv.weight"] = dfdc_arrays["v_conv.weight"][..., 0]
    dfdc_arrays["v_conv.bias"] = dfdc_arrays["other"] = np.zeros(16)
    with pytest.raises(ValueError) as caught:
        load_released_weights(dfdc, dfdc_arrays)
    message = str(caught.value)
    assert message.startswith("5 of the tensors do not fit block2_dfdc: ")
    assert message.partition(": ")[2].split("; ") == [
        "missing gamma",
        "surplus other",
        "surplus v_conv.bias",
        "misshapen k_conv.weight: (1, 16, 1, 1) does not give (1, 1, 16, 2)",
        "misshapen v_conv.weight: (16, 16, 1) does not give (1, 1, 16, 16)",
    ]
    for got, want in zip(dfdc.get_weights(), before, strict=True):
        np.testing.assert_array_equal(got, want)


def test_prefix_picks_one_layer_out_of_a_network(dfdc: DFDC, dfdc_arrays: Arrays) -> None:
    network = {f"block2.neg_sim.{name}": value for name, value in dfdc_arrays.items()}
    network["block2.hv_att.gamma"] = network["fc.bias"] = np.ones(1)
    load_released_weights(dfdc, network, prefix="block2.neg_sim.")
    np.testing.assert_array_equal(dfdc.gamma, dfdc_arrays["gamma"])
    del network["block2.neg_sim.gamma"]
    with pytest.raises(ValueError, match=r"1 of .*: missing block2\.neg_sim\.gamma$"):
        load_released_weights(dfdc, network, prefix="block2.neg_sim.")


def test_batch_counters_are_no_weights(msa: MSA) -> None:
    arrays = drawn(msa_shapes(8))
    arrays["vertical_conv.1.num_batches_tracked"] = np.array(1234)
    load_released_weights(msa, arrays)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        (lambda: DFDC(4, name="fresh"), "fresh has no weights yet; call it once"),
        (lambda: keras.layers.Dense(2), "expected a DFDC, an MSA or a model; got Dense"),
        (
            lambda: keras.Sequential([keras.Input((2,)), keras.layers.Dense(2, name="out")]),
            r"layer out has no counterpart .*; expected a model of build_model\(",
        ),
    ],
)
def test_what_cannot_be_filled_is_refused(target: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_released_weights(target(), {})


# A whole network and the command


@pytest.fixture(scope="module")
def network_arrays() -> Arrays:
    return drawn(network_shapes(8))


def test_a_network_takes_every_tensor_and_no_other(network_arrays: Arrays) -> None:
    model = build_model("compact_xception", size=32)
    load_released_weights(model, network_arrays)
    assert sum(value.size for value in network_arrays.values()) == model.count_params()
    np.testing.assert_array_equal(model.get_layer("logits").kernel, network_arrays["fc.weight"].T)
    seventh = network_arrays["block7.block.rep.6.conv1.weight"]  # the third separable convolution
    np.testing.assert_array_equal(
        model.get_layer("block7_sepconv3_depthwise").weights[0], seventh.transpose(2, 3, 0, 1)
    )
    wrong = {**network_arrays, "block9.gamma": np.zeros(1)}
    del wrong["bn3.running_var"]
    with pytest.raises(ValueError, match=r"2 of .*: missing bn3\.running_var; surplus block9\."):
        load_released_weights(model, wrong)


def test_command_checks_strips_the_prefix_and_writes(
    network_arrays: Arrays, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = tmp_path / "given.npz", tmp_path / "new" / "released.npz"
    prefixed = {f"module.{name}": value for name, value in network_arrays.items()}
    np.savez(given, **prefixed, optimizer=np.zeros(3))
    assert main([str(given), "--out", str(out), "--prefix", "module."]) == 0
    assert capsys.readouterr().out == f"{len(network_arrays)} tensors written to {out}\n"
    written = read_arrays(out)
    assert written.keys() == network_arrays.keys(), "nothing but the network's own"
    np.testing.assert_array_equal(written["conv1.weight"], network_arrays["conv1.weight"])
    assert [path.name for path in out.parent.iterdir()] == ["released.npz"]


def test_command_writes_nothing_that_does_not_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, out = tmp_path / "given.npz", tmp_path / "released.npz"
    np.savez(given, gamma=np.zeros(1))
    assert main([str(given), "--out", str(out)]) == 2
    assert not out.exists()
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and "surplus gamma" in error


def test_command_converts_without_checking_on_request(tmp_path: Path, dfdc_arrays: Arrays) -> None:
    given, out = tmp_path / "given.npz", tmp_path / "released.npz"
    np.savez(given, **dfdc_arrays)
    assert main([str(given), "--out", str(out), "--no-check"]) == 0
    assert read_arrays(out).keys() == dfdc_arrays.keys()


# Files


def with_objects(path: Path) -> None:
    np.savez(path, gamma=np.array([{"not": "an array"}], dtype=object))


def one_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def a_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps({"gamma": 1}))


def half_a_file(path: Path) -> None:
    np.savez(path, gamma=np.arange(1000))
    path.write_bytes(path.read_bytes()[:500])


def nothing(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("write", [with_objects, one_array, a_pickle, half_a_file, nothing])
def test_anything_but_plain_arrays_is_one_line(write: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.npz"
    write(path)
    with pytest.raises(UserError, match=r"weights\.npz is no \.npz of plain arrays: ") as caught:
        read_arrays(path)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "exists", "message"),
    [
        ("gone.npz", False, r"no weights file .*gone\.npz; expected an existing"),
        ("weights.ckpt", True, r"none of \.npz, \.pth, \.pt"),
    ],
)
def test_other_files_are_one_line(name: str, exists: bool, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if exists:
        path.write_bytes(b"")
    with pytest.raises(UserError, match=message):
        read_arrays(path)

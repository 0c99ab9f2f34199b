"""An exported graph that is wrong in one layer says in which."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
onnx = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
pytest.importorskip("onnxruntime")

from export import to_onnx
from export.conversion import parity_clips
from export.conversion.keras_divergence import find_keras_divergence
from export.conversion.parity_clips import ParityClips
from export.graph import precision as form
from export.parity import agreement
from keras_ddl import build_model
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.quantization.quantise import quant_points, quantised

CLIPS = np.random.default_rng(1).integers(0, 256, (2, 4, 32, 32, 3), np.uint8)
SPOILT = "block3_sepconv1_pointwise"


@pytest.fixture(scope="module")
def network(randomise: Callable[..., None]) -> Any:
    """Without DFDC: at this width it has one channel, and its choice is between equals."""
    model = build_model("compact_xception", ("msa",), frames=4, size=32, width=0.125)
    randomise(model)
    return model


@pytest.fixture(scope="module")
def graph(network: Any) -> Any:
    return to_onnx.onnx_from_keras(network)


def copy_of(proto: Any) -> Any:
    result = onnx.ModelProto()
    result.CopyFrom(proto)
    return result


def spoil(proto: Any, layer: str = SPOILT) -> Any:
    """The same graph with the kernel of one layer turned round."""
    result = copy_of(proto)
    convolutions = [node for node in result.graph.node if node.op_type == "Conv"]
    node = next(n for n in convolutions if f"/{layer}/" in " ".join([n.name, *n.input]))
    makers = {name: made for made in result.graph.node for name in made.output}
    weight = node.input[1]
    while weight in makers:  # a Cast or a quantiser of the kernel
        weight = makers[weight].input[0]
    tensor = next(t for t in result.graph.initializer if t.name == weight)
    values = onnx.numpy_helper.to_array(tensor)
    tensor.CopyFrom(onnx.numpy_helper.from_array(-values, weight))
    return result


@pytest.mark.parametrize(
    "modules", [("msa",), pytest.param(("dfdc",), marks=pytest.mark.slow)], ids=str
)
def test_layers_are_matched_and_the_wrong_one_is_named(
    network: Any, graph: Any, randomise: Callable[..., None], modules: tuple[str, ...]
):
    if "dfdc" in modules:
        network = build_model("compact_xception", modules, frames=4, size=32, width=0.25)
        randomise(network)
        graph = to_onnx.onnx_from_keras(network)
    sound = find_keras_divergence(network, graph, CLIPS[0], 1e-4)
    assert sound.first is None  # a tensor taken for another layer's would be far off
    assert sound.compared > 0.7 * len(network.layers)  # a convolution has its batch norm's
    wrong = find_keras_divergence(network, spoil(graph), CLIPS[0], 1e-3)
    assert wrong.first is not None and wrong.first.layer == SPOILT


@pytest.mark.slow
def test_a_rounded_network_is_compared_with_its_own(network: Any):
    int8 = quantised(network)
    for point in quant_points(int8).values():
        point.amax = 4.0
    proto = to_onnx.onnx_from_keras(int8)
    sound = find_keras_divergence(int8, proto, CLIPS[0], 0.2)
    assert sound.first is None and sound.compared > 0.5 * len(int8.layers)
    wrong = find_keras_divergence(int8, spoil(proto), CLIPS[0], 0.2)
    assert wrong.first is not None and wrong.first.layer.startswith("block3_sepconv1")


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_gate_says_where_and_keeps_the_earlier_bundle(
    network: Any,
    graph: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
    precision: str,
):
    (tmp_path / "config.json").write_text('{"data": {}}')
    spec = ClipSpec(frames=4, size=32)
    monkeypatch.setattr("keras_ddl.runs.find_run", lambda path: tmp_path)
    monkeypatch.setattr(to_onnx, "_network", lambda folder, precision: (network, spec))
    monkeypatch.setattr(to_onnx, "onnx_from_keras", lambda *a, **k: copy_of(graph))
    sample = ParityClips(CLIPS, None, "two clips")
    monkeypatch.setattr(parity_clips, "parity_clips", lambda *a: sample)
    assert to_onnx.main(["--precision", precision]) == 0
    name = "bundle" if precision == "fp32" else "bundle-fp16"
    before = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
    in_form = form.in_form
    if precision == "fp32":
        monkeypatch.setattr(to_onnx, "onnx_from_keras", lambda *a, **k: spoil(graph))
    else:
        monkeypatch.setattr(form, "in_form", lambda *a: spoil(in_form(*a)))
    monkeypatch.setitem(agreement.EXPORTED, precision, agreement.Tolerance(1e-6, 1, 1, 1))
    capsys.readouterr()
    assert to_onnx.main(["--precision", precision]) == 4
    (line,) = [ln for ln in capsys.readouterr().err.splitlines() if ln.startswith("error")]
    assert f"; first beyond {0.001 if precision == 'fp32' else 0.02:g} of its largest" in line
    assert f"layer '{SPOILT}'" in line
    assert {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} == before
    assert not list(tmp_path.glob(".*.part"))

"""The exported graph keeps Keras' answer, is clean, and nothing is written when it isn't."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
onnx = pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
pytest.importorskip("onnxruntime")

from deploy.bundle import open_bundle
from deploy.judging.verdict import Judge, policy_for
from export.bundle_writer import write_bundle
from export.conversion.keras_parity import compare
from export.parity.agreement import EXPORTED, require
from export.to_onnx import onnx_from_keras
from keras_ddl import build_model
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.networks.model import with_inconsistency_map

SIZE = 64


def random_weights(model: Any, seed: int = 0) -> Any:
    """Weights at which every branch has a say: no γ of 0, no statistics of 0 and 1."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        values = random.standard_normal(weight.shape)
        name, shape = weight.name, weight.shape
        if "variance" in name:
            values = 0.5 + np.abs(values)
        elif name.endswith("gamma:0"):
            values = (0.5 if shape == (1,) else 1.0) + 0.1 * values
        elif len(shape) == 1:
            values = 0.1 * values
        else:
            values = values / np.sqrt(np.prod(shape[:-1]))
        weight.assign(values)
    return model


def clips(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def network() -> Any:
    tf.keras.backend.clear_session()
    return random_weights(build_model("compact_xception", size=SIZE, width=0.25))


@pytest.fixture(scope="module")
def graph(network: Any) -> Any:
    return onnx_from_keras(network)


@pytest.fixture(scope="module")
def bundle(graph: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "bundle"
    return write_bundle(folder, graph, ClipSpec(size=SIZE), lambda candidate: None)


def test_bundle_gives_keras_answers(network: Any, bundle: Path) -> None:
    sample = clips(3)
    outputs, found = with_inconsistency_map(network)(sample)
    margin = (outputs[:, 1] - outputs[:, 0]).numpy()
    contract, backend = open_bundle(bundle)
    with backend:
        answer = backend.infer({"clip": sample})
    np.testing.assert_allclose(answer["fake_probability"], 1 / (1 + np.exp(-margin)), atol=1e-5)
    np.testing.assert_allclose(answer["inconsistency_map"], found, atol=1e-4)
    assert contract.spec == ClipSpec(size=SIZE)


def test_the_temperature_is_applied_once_and_in_the_graph(tmp_path: Path) -> None:
    model = random_weights(build_model("compact_xception", (), size=SIZE, width=0.25), seed=3)
    last = model.get_layer("logits")
    last.set_weights([100 * weight for weight in last.get_weights()])  # sure of itself
    spec = ClipSpec(size=SIZE, temperature=5.0, threshold=0.25, training={"dataset": "x"})
    graph = onnx_from_keras(model, temperature=spec.temperature)
    folder = write_bundle(tmp_path / "bundle", graph, spec, lambda candidate: None)
    sample = clips(3)
    logits = model(sample).numpy().astype(float)
    margins = logits[:, 1] - logits[:, 0]
    expected = 1 / (1 + np.exp(-margins / 5))
    contract, backend = open_bundle(folder)
    with backend:
        answer = backend.infer({"clip": sample})["fake_probability"]
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    assert np.abs(expected - 1 / (1 + np.exp(-margins))).max() > 1e-2
    # What the device makes of it is the mean of these, as evaluation does.
    judge = Judge(policy_for(contract, "real"))
    for value in answer:
        judge.update(1, 0.0, float(value))
    assert judge.conclude()[1]["fake_probability"] == pytest.approx(expected.mean(), abs=1e-5)
    assert compare(model, folder / "model.onnx", sample, 5.0, 0.25).probability < 1e-5
    assert compare(model, folder / "model.onnx", sample).probability > 1e-2


def test_every_clip_of_a_batch_is_judged_alone(bundle: Path) -> None:
    sample = clips(4) // np.array([1, 2, 4, 8], np.uint8)[:, None, None, None, None]
    _, backend = open_bundle(bundle)
    with backend:
        together = backend.infer({"clip": sample})["fake_probability"]
        alone = [backend.infer({"clip": clip[None]})["fake_probability"] for clip in sample]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)
    assert np.ptp(together) > 2e-5  # the clips differ, so the comparison says something


def test_map_is_one_at_its_highest_and_zero_without_gamma(network: Any) -> None:
    sample = clips(2)
    found = with_inconsistency_map(network)(sample)[1].numpy()
    assert found.shape == (2, 8, SIZE // 8, SIZE // 8)
    np.testing.assert_allclose(found.max(axis=(1, 2, 3)), 1, atol=1e-6)
    silent = build_model("compact_xception", size=SIZE, width=0.25)
    assert not with_inconsistency_map(silent)(sample)[1].numpy().any()


def test_graph_has_no_layout_transposes(graph: Any) -> None:
    turns = Counter(
        tuple(attribute.ints)
        for node in graph.graph.node
        for attribute in node.attribute
        if node.op_type == "Transpose"
    )
    assert sum(node.op_type == "Conv" for node in graph.graph.node) > 50
    # NHWC → NCHW once, where the clip comes in, and never back. In each of seven stages time and
    # channels change places four times, for DFDC's kept positions and for MSA; DFDC turns its map.
    assert turns == {(0, 3, 1, 2): 1, (0, 2, 1, 3): 7 * 4, (0, 2, 1): 7 * 2}


def test_kept_positions_are_read_and_written_as_elements(graph: Any) -> None:
    kinds = [node.op_type for node in graph.graph.node]
    assert kinds.count("GatherElements") == kinds.count("ScatterElements") == 7
    needed = {name for node in graph.graph.node for name in node.input}
    needed |= {value.name for value in graph.graph.output}
    unused = [n.name for n in graph.graph.node if not needed & set(n.output)]
    assert not unused


def test_kept_positions_are_written_into_a_tensor_of_the_same_stated_size(graph: Any) -> None:
    stated = {
        value.name: [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
        for value in graph.graph.value_info
    }
    scatters = [node for node in graph.graph.node if node.op_type == "ScatterElements"]
    for scatter in scatters:
        size = stated[scatter.input[0]]
        assert size == stated[scatter.output[0]]
        assert len(size) == 3 and all(size)
    assert len({stated[scatter.input[0]][0] for scatter in scatters}) == len(scatters)


@pytest.mark.parametrize(
    ("backbone", "size", "modules"),
    [
        pytest.param("resnet18", 64, ("dfdc", "msa"), marks=pytest.mark.slow),
        pytest.param("xception", 71, ("dfdc", "msa"), marks=pytest.mark.slow),  # odd maps
        pytest.param("resnet18", 64, ("msa",), marks=pytest.mark.slow),  # no DFDC: no map
        pytest.param("resnet18", 64, (), marks=pytest.mark.slow),
    ],
)
def test_other_networks_keep_their_answer(
    backbone: str, size: int, modules: tuple[str, ...], tmp_path: Path
) -> None:
    model = random_weights(build_model(backbone, modules, size=size))
    file = tmp_path / "model.onnx"
    file.write_bytes(onnx_from_keras(model).SerializeToString())
    sample = np.random.default_rng(2).integers(0, 256, (2, 8, size, size, 3), np.uint8)
    report = compare(model, file, sample)
    assert report.probability < 1e-5
    assert (report.inconsistency is None) == ("dfdc" not in modules)


def test_failing_gate_leaves_the_earlier_bundle(network: Any, graph: Any, bundle: Path) -> None:
    before = {path.name: path.read_bytes() for path in bundle.iterdir()}
    other = random_weights(build_model("compact_xception", size=SIZE, width=0.25), seed=5)

    def gate(candidate: Path) -> None:
        found = compare(other, candidate / "model.onnx", clips(2))
        require(found, EXPORTED["fp32"], "the exported graph", "nothing was written")

    with pytest.raises(UserError, match="does not keep the answer") as caught:
        write_bundle(bundle, graph, ClipSpec(size=SIZE), gate)
    assert caught.value.exit_code == 4
    assert {path.name: path.read_bytes() for path in bundle.iterdir()} == before
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]

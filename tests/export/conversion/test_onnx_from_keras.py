"""The converted graph keeps Keras' answer, is clean, and is the same file whenever made."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("tensorflow")
pytest.importorskip("onnx")
pytest.importorskip("tf2onnx")
pytest.importorskip("onnxruntime")

from graph_changes import copy_of

from deploy.bundle import open_bundle
from deploy.judging.verdict import Judge, policy_for
from export.bundle_writer import write_bundle
from export.conversion.keras_parity import ask_exported, ask_keras
from export.parity.agreement import agreement
from export.to_onnx import onnx_from_keras
from keras_ddl import build_model
from keras_ddl.build_network import build
from keras_ddl.config import TrainConfig
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.faces.map_kind import GRAD_CAM
from keras_ddl.framework import keras
from keras_ddl.layers import FramesMean, FramesToClip
from keras_ddl.networks import zoo
from keras_ddl.networks.backbones import resnet18
from keras_ddl.networks.grad_cam import GradCam
from keras_ddl.networks.model import with_inconsistency_map
from keras_ddl.networks.zoo import clrnet
from keras_ddl.networks.zoo.parts.frame_network import backbone_maps

SIZE = 64


def clips(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 8, SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def bundle(whole_graph: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "bundle"
    return write_bundle(folder, copy_of(whole_graph), ClipSpec(size=SIZE), lambda candidate: None)


def test_bundle_gives_keras_answers(whole_network: Any, bundle: Path) -> None:
    sample = clips(3)
    outputs, found = with_inconsistency_map(whole_network)(sample)
    margin = (outputs[:, 1] - outputs[:, 0]).numpy()
    contract, backend = open_bundle(bundle)
    with backend:
        answer = backend.infer({"clip": sample})
    np.testing.assert_allclose(answer["fake_probability"], 1 / (1 + np.exp(-margin)), atol=1e-5)
    np.testing.assert_allclose(answer["inconsistency_map"], found, atol=1e-4)
    assert contract.spec == ClipSpec(size=SIZE)


def test_the_temperature_is_applied_once_and_in_the_graph(
    tmp_path: Path, randomise: Callable[..., None]
) -> None:
    model = clrnet.build(32, 4, None, 0.125, ())  # its first layers: temperature is any network's
    randomise(model)
    last = model.get_layer("logits")
    last.set_weights([10 * weight for weight in last.get_weights()])  # sure of itself
    spec = ClipSpec(frames=4, size=32, temperature=5.0, threshold=0.25, training={"dataset": "x"})
    graph = onnx_from_keras(model, temperature=spec.temperature)
    folder = write_bundle(tmp_path / "bundle", graph, spec, lambda candidate: None)
    sample = clips(3)[:, :4, :32, :32]
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
    found = ask_exported(folder / "model.onnx", sample)
    assert agreement(ask_keras(model, sample, 5.0), found, 0.25).probability < 1e-5
    assert agreement(ask_keras(model, sample, 1.0), found, 0.25).probability > 1e-2


def test_every_clip_of_a_batch_is_judged_alone(bundle: Path) -> None:
    sample = clips(4) // np.array([1, 2, 4, 8], np.uint8)[:, None, None, None, None]
    _, backend = open_bundle(bundle)
    with backend:
        together = backend.infer({"clip": sample})["fake_probability"]
        alone = [backend.infer({"clip": clip[None]})["fake_probability"] for clip in sample]
    np.testing.assert_allclose(together, np.concatenate(alone), atol=1e-6)
    assert np.ptp(together) > 2e-5  # the clips differ, so the comparison says something


def test_map_is_one_at_its_highest_and_zero_without_gamma(whole_network: Any) -> None:
    sample = clips(2)
    found = with_inconsistency_map(whole_network)(sample)[1].numpy()
    assert found.shape == (2, 8, SIZE // 8, SIZE // 8)
    np.testing.assert_allclose(found.max(axis=(1, 2, 3)), 1, atol=1e-6)
    silent = build_model("compact_xception", ("dfdc",), frames=4, size=32, width=0.125)
    assert not with_inconsistency_map(silent)(sample[:, :4, :32, :32])[1].numpy().any()


@pytest.mark.parametrize("network", ["frames", pytest.param("ddl", marks=pytest.mark.slow)])
def test_a_localisation_heads_map_is_the_second_output(
    network: str, tmp_path: Path, randomise: Callable[..., None]
) -> None:
    """EfficientNet-Lite0, which no test above has, with the head and in the exported layout."""
    asked = {"frames": 4, "size": 64, "width": 0.25, "localise": "stage5", "stages": ("stage5",)}
    config = TrainConfig(network=network, backbone="efficientnet_lite0", **asked)
    model = build(config)
    randomise(model)
    sample = clips(3)[:, :4]
    logits, found = with_inconsistency_map(model)(sample)
    assert found.shape == (3, 4, 4, 4) and 0.01 < np.ptp(found.numpy()) <= 1
    folder = write_bundle(
        tmp_path / "bundle", onnx_from_keras(model), config.spec(), lambda candidate: None
    )
    _, backend = open_bundle(folder)
    with backend:
        answer = backend.infer({"clip": sample})
    margin = (logits[:, 1] - logits[:, 0]).numpy()
    np.testing.assert_allclose(answer["fake_probability"], 1 / (1 + np.exp(-margin)), atol=1e-5)
    np.testing.assert_allclose(answer["forgery_map"], found, atol=1e-4)


@pytest.mark.parametrize("network", ["resnet18", "convlstm", "plain"])
def test_grad_cam_leaves_with_a_linear_head(
    network: str, tmp_path: Path, randomise: Callable[..., None]
) -> None:
    """What the gradient gives in Keras the graph gives without one, under a name of its own."""
    which = {"network": network}
    if network == "plain":
        which = {"network": "ddl", "backbone": "resnet18", "modules": ()}
    config = TrainConfig(frames=4, size=SIZE, width=0.125, **which)
    model = build(config)
    randomise(model)
    sample = clips(3)[:, :4]
    proto = onnx_from_keras(model)
    folder = write_bundle(tmp_path / "bundle", proto, config.spec(), lambda candidate: None)
    bundle, backend = open_bundle(folder)
    with backend:
        answer = backend.infer({"clip": sample})
    assert bundle.map_kind is GRAD_CAM and set(answer) == {"fake_probability", "grad_cam"}
    found = GradCam(model)(sample)
    assert found.any() and answer["grad_cam"].shape == found.shape
    np.testing.assert_allclose(answer["grad_cam"], found, atol=1e-3)
    asked_keras = ask_keras(model, sample, 1.0)
    np.testing.assert_array_equal(asked_keras.map, found)


def rectified(joined: bool) -> Any:
    """ResNet-18 under dense layers with ReLU6, batch norm and ReLU, of clips or of frames."""
    layers = keras.layers
    clip, x = backbone_maps(resnet18.build(SIZE, width=0.125), SIZE, 4)
    x = layers.GlobalAveragePooling2D(name="features")(x)
    if joined:
        x = layers.GlobalAveragePooling1D(name="mean")(FramesToClip(4, name="to_clip")(x))
    x = layers.ReLU(6.0, name="relu6")(layers.Dense(24, name="first")(x))
    x = layers.Dropout(0.5)(layers.BatchNormalization(name="bn")(x))
    x = layers.Dense(2, name="judge")(layers.Dense(12, "relu", name="second")(x))
    return keras.Model(clip, x if joined else FramesMean(4, name="logits")(x), name="rectified")


@pytest.mark.parametrize("joined", [False, True], ids=["of frames", "of clips"])
def test_grad_cam_leaves_with_a_head_of_dense_layers_and_relu(
    joined: bool, tmp_path: Path, randomise: Callable[..., None]
) -> None:
    model = rectified(joined)
    randomise(model)
    first = model.get_layer("first")
    first.set_weights([40 * value for value in first.get_weights()])  # some above 6, some below 0
    passed = keras.Model(model.input, model.get_layer("relu6").output)(clips(3)[:, :4]).numpy()
    assert (passed == 0).any() and (passed == 6).any() and ((passed > 0) & (passed < 6)).any()
    proto = onnx_from_keras(model)
    kinds = {node.op_type for node in proto.graph.node}
    assert {"Greater", "Less", "MatMul"} <= kinds
    spec = ClipSpec(frames=4, size=SIZE)
    folder = write_bundle(tmp_path / "bundle", proto, spec, lambda candidate: None)
    bundle, backend = open_bundle(folder)
    with backend:
        answer = backend.infer({"clip": clips(3)[:, :4]})
    assert bundle.map_kind is GRAD_CAM
    found = GradCam(model)(clips(3)[:, :4])
    assert found.any() and answer["grad_cam"].shape == found.shape
    np.testing.assert_allclose(answer["grad_cam"], found, atol=1e-3)


def test_a_head_whose_derivative_is_not_known_leaves_no_map() -> None:
    model = zoo.get("meso4").build(32, 4, width=0.5)
    assert [value.name for value in onnx_from_keras(model).graph.output] == ["fake_probability"]


def test_graph_has_no_layout_transposes(whole_graph: Any) -> None:
    turns = Counter(
        tuple(attribute.ints)
        for node in whole_graph.graph.node
        for attribute in node.attribute
        if node.op_type == "Transpose"
    )
    assert sum(node.op_type == "Conv" for node in whole_graph.graph.node) > 50
    # NHWC → NCHW once, where the clip comes in, and never back. In each of three stages time and
    # channels change places four times, for DFDC's kept positions and for MSA; DFDC turns its map.
    assert turns == {(0, 3, 1, 2): 1, (0, 2, 1, 3): 3 * 4, (0, 2, 1): 3 * 2}


def test_kept_positions_are_read_and_written_as_elements(whole_graph: Any) -> None:
    kinds = [node.op_type for node in whole_graph.graph.node]
    assert kinds.count("GatherElements") == kinds.count("ScatterElements") == 3
    needed = {name for node in whole_graph.graph.node for name in node.input}
    needed |= {value.name for value in whole_graph.graph.output}
    unused = [n.name for n in whole_graph.graph.node if not needed & set(n.output)]
    assert not unused


def test_kept_positions_are_written_into_a_tensor_of_the_same_stated_size(whole_graph: Any) -> None:
    stated = {
        value.name: [d.dim_value or d.dim_param for d in value.type.tensor_type.shape.dim]
        for value in whole_graph.graph.value_info
    }
    scatters = [node for node in whole_graph.graph.node if node.op_type == "ScatterElements"]
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
    backbone: str,
    size: int,
    modules: tuple[str, ...],
    tmp_path: Path,
    randomise: Callable[..., None],
) -> None:
    model = build_model(backbone, modules, size=size)
    randomise(model)
    file = tmp_path / "model.onnx"
    file.write_bytes(onnx_from_keras(model).SerializeToString())
    sample = np.random.default_rng(2).integers(0, 256, (2, 8, size, size, 3), np.uint8)
    report = agreement(ask_keras(model, sample, 1.0), ask_exported(file, sample), 0.5)
    assert report.probability < 1e-5
    assert (report.inconsistency is None) == ("dfdc" not in modules)


REPO = Path(__file__).resolve().parents[3]
EXPORT = """
import hashlib
from keras_ddl import build_model
from export.to_onnx import onnx_from_keras
model = build_model("compact_xception", frames=4, size=32, width=0.125)
random = __import__("numpy").random.default_rng(0)
for weight in model.weights:
    weight.assign(random.uniform(0.5, 1, weight.shape))
data = onnx_from_keras(model).SerializeToString(deterministic=True)
print("sha256", hashlib.sha256(data).hexdigest())
"""


@pytest.mark.slow
def test_two_exports_are_one_file() -> None:
    digests = set()
    for seed in ("1", "2"):  # of Python's own hashes
        done = subprocess.run(
            [sys.executable, "-c", EXPORT],
            cwd=REPO,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(REPO), "CUDA_VISIBLE_DEVICES": ""},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found = [line.split()[1] for line in done.stdout.splitlines() if "sha256" in line]
        assert len(found) == 1
        digests.update(found)
    assert len(digests) == 1

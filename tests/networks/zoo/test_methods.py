"""What every method of the zoo owes the house: one shape, one contract, the same gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl import config as configs
from keras_ddl.framework import keras
from keras_ddl.networks import zoo
from keras_ddl.networks.cost import macs, parameters
from keras_ddl.networks.zoo.method import Method
from keras_ddl.report.paper import paper_rows

# Side of the crops, frames and width of a network that is made in seconds.
SMALL: dict[str, tuple[int, int, float]] = {
    "resnet18": (64, 4, 0.125),
    "xception": (71, 4, 0.125),
    "shallownet": (32, 4, 0.25),
    "meso4": (64, 4, 0.5),
    "mesoinception4": (64, 4, 0.5),
    "f3net": (64, 4, 0.125),
    "gff": (64, 4, 0.125),
    "multi_attentional": (75, 4, 0.125),
    "cnn_lstm": (75, 4, 0.125),
    "dbirnn": (64, 4, 0.125),
    "dil": (64, 8, 0.125),
    "clrnet": (48, 4, 0.125),
    "convlstm": (64, 4, 0.125),
}
QUICK = ("resnet18", "shallownet", "meso4", "convlstm")  # the others take up to a minute each
EACH = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in SMALL]


@pytest.fixture(scope="module", params=EACH)
def method(request: pytest.FixtureRequest, randomise: Callable[..., None]) -> Any:
    """Name and small network with weights at which every branch has a say."""
    keras.backend.clear_session()
    size, frames, width = SMALL[request.param]
    model = zoo.get(request.param).build(size, frames, width=width)
    for layer in model.layers:
        if not isinstance(layer, keras.layers.Rescaling):
            randomise(layer, 0)
    for layer in model.submodules:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(clips(model, 4, seed=2), training=True)  # so that no signal fades in a deep network
    return request.param, model


def clips(model: Any, count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *model.input_shape[1:]), np.uint8)


def test_all_have_one_shape() -> None:
    assert set(SMALL) == set(zoo.NAMES)
    for name in zoo.NAMES:
        method = zoo.get(name).METHOD
        assert isinstance(method, Method)
        config = configs.load(name)
        assert config.network == name and config.preset == name
        assert config.spec().size == zoo.get(name).build.__defaults__[0], "its own size"
        rows = {
            row.method for place in ("Celeb-DF", "FaceForensics++") for row in paper_rows(place)
        }
        assert method.row in rows


def test_raw_clips_become_two_logits(method: Any) -> None:
    _, model = method
    assert model.input.dtype == tf.uint8 and model.input.name == "clip"
    batch = clips(model, 3)
    logits = model(batch, training=False).numpy()
    assert logits.dtype == np.float32 and logits.shape == (3, 2)
    assert np.isfinite(logits).all() and np.ptp(logits[:, 1] - logits[:, 0]) > 1e-6
    np.testing.assert_allclose(model(batch[::-1], training=False)[::-1], logits, 0, 1e-4)


def test_the_order_of_frames_counts_for_those_that_look_at_them_together(method: Any) -> None:
    name, model = method
    batch = clips(model, 2)
    before = model(batch, training=False).numpy()
    after = model(batch[:, ::-1], training=False).numpy()
    moved = np.abs(before - after).max()
    assert (moved > 1e-5) if zoo.get(name).METHOD.temporal else (moved < 1e-5), moved


def test_its_cost_is_known(method: Any) -> None:
    _, model = method
    assert sum(macs(model).values()) > parameters(model)  # every weight is used on more than once


def test_a_step_of_training_reaches_every_weight(method: Any) -> None:
    _, model = method
    batch, labels = clips(model, 4), np.array([0, 1, 0, 1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    with tf.GradientTape() as tape:
        value = loss(labels, model(batch, training=True))
    gradients = tape.gradient(value, model.trainable_variables)
    without = [
        variable.name
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
        if gradient is None
    ]
    assert not without and np.isfinite(value)


def test_it_passes_the_gate_and_streams(method: Any, tmp_path: Path) -> None:
    pytest.importorskip("tf2onnx")
    pytest.importorskip("onnxruntime")
    from functools import partial

    from deploy.bundle import open_bundle
    from export.bundle_writer import write_bundle
    from export.conversion.keras_parity import ask_keras, export_limits, exported_candidate
    from export.parity.clips import ParityClips
    from export.parity.prove import prove
    from export.to_onnx import onnx_from_keras
    from keras_ddl.edge.clipspec import ClipSpec

    name, model = method
    _, frames, size, *_ = model.input_shape
    batch = clips(model, 3)
    proto = onnx_from_keras(model, temperature=1.5, report=lambda _: None)
    spec = ClipSpec(frames=frames, size=size, temperature=1.5, training={"network": name})

    def gate(written: Path) -> object:
        candidate = exported_candidate(written / "model.onnx", proto, proto, model, "fp32")
        reference = partial(ask_keras, model, temperature=1.5)
        noise = ParityClips(batch, None, "clips of noise")
        return prove(reference, candidate, noise, export_limits("fp32", 0.5))

    folder = write_bundle(tmp_path / "bundle", proto, spec, gate)
    bundle, backend = open_bundle(folder, 1)
    with backend:
        served = backend.infer({"clip": batch})["fake_probability"]
    logits = model(batch, training=False).numpy().astype(np.float64)
    margin = (logits[:, 1] - logits[:, 0]) / 1.5
    np.testing.assert_allclose(served, 1 / (1 + np.exp(-margin)), 0, 1e-5)
    assert bundle.spec.frames == frames


@pytest.mark.slow
@pytest.mark.parametrize("name", zoo.NAMES)
def test_its_own_size_exports_too(name: str) -> None:
    """Some graphs break at some sizes only: a Resize from 24 to 95 rows gave 94."""
    pytest.importorskip("tf2onnx")
    ort = pytest.importorskip("onnxruntime")
    from export.to_onnx import onnx_from_keras

    keras.backend.clear_session()
    own = configs.load(name)
    model = zoo.get(name).build(own.size, own.frames, width=0.0625)
    proto = onnx_from_keras(model, report=lambda _: None)
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    batch = clips(model, 1)
    logits = model(batch, training=False).numpy().astype(np.float64)
    (found,) = session.run(None, {"clip": batch})
    np.testing.assert_allclose(found, 1 / (1 + np.exp(logits[:, 0] - logits[:, 1])), 0, 1e-5)

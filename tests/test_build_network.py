"""Networks in mixed precision, started from another run or from the authors' tensors."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

sys.path.insert(0, str(Path(__file__).resolve().parent / "golden"))

from naive_network import draw, network_shapes

from keras_ddl import train as training
from keras_ddl.build_network import build, build_started, load_run, stage_layer
from keras_ddl.config import TrainConfig
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256, read_json, write_json
from keras_ddl.edge.runs import CONFIG, WEIGHTS, finish_run, start_run
from keras_ddl.framework import keras
from keras_ddl.import_released import load_released_weights
from keras_ddl.networks import backbones
from keras_ddl.training.optimiser import make_optimiser
from keras_ddl.training.options import TrainingOptions

SMALL = {"frames": 4, "size": 32, "width": 0.125, "batch": 8, "epochs": 1, "backbone": "resnet18"}


@pytest.mark.parametrize("network", ["frames", "ddl"])
def test_a_backbone_ends_at_the_stage_that_is_asked_for(network: str) -> None:
    """What comes behind it is gone, the weights before it are those of the whole backbone."""
    given = {**SMALL, "network": network, "modules": []}
    stages = list(backbones.get("resnet18")(32, None, 0.125).stages)
    whole, short = (build(TrainConfig.from_dict({**given, "last": n})) for n in ("", stages[1]))
    assert short.count_params() < 0.5 * whole.count_params()
    names = {layer.name for layer in whole.layers}
    assert {layer.name for layer in short.layers} < names
    with pytest.raises(UserError, match=f"last must be one of {stages[0]}, .*; got stage9"):
        build(TrainConfig.from_dict({**given, "last": "stage9"}))
    with pytest.raises(UserError, match=stages[1]):  # modules behind its end
        build(TrainConfig.from_dict({**SMALL, "last": stages[1], "stages": [stages[-1]]}))
    with pytest.raises(UserError, match=f"rest_before: expected a stage .*{stages[-1]}"):
        stage_layer(TrainConfig.from_dict({**given, "last": stages[1], "rest_before": stages[-1]}))


@pytest.mark.slow
def test_a_plain_runs_network_with_new_modules_says_what_it_said(plain_run: Path) -> None:
    """The modules start as the identity, so nothing that was learnt is lost."""
    extended = build_started(TrainConfig.from_dict({**SMALL, "weights": str(plain_run)}))
    assert any("dfdc" in layer.name for layer in extended.layers)
    plain, _, _ = load_run(plain_run)
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), np.uint8)
    expected = plain.predict_on_batch(clips)
    np.testing.assert_allclose(extended.predict_on_batch(clips), expected, atol=1e-5)
    fresh = build(TrainConfig.from_dict(SMALL))
    assert np.abs(fresh.predict_on_batch(clips) - expected).max() > 1e-2


@pytest.mark.slow
def test_a_run_that_starts_from_another_says_so(
    plain_run: Path, flicker_set: Path, tmp_path: Path
) -> None:
    run = start_run(tmp_path / "tuned")
    config = TrainConfig.from_dict(
        {**SMALL, "modules": [], "weights": str(plain_run), "learning_rate": 1e-7}
    )
    training.train(config, flicker_set, run, TrainingOptions(progress=False))
    start = read_json(run / "manifest.json")["start"]
    assert start == {"weights": str(plain_run), "sha256": file_sha256(plain_run / WEIGHTS)}
    kernels = [
        load_run(folder)[0].get_layer("conv1").get_weights()[0] for folder in (plain_run, run)
    ]
    np.testing.assert_allclose(*kernels, atol=1e-5)


def test_what_does_not_fit_is_refused(plain_run: Path, tmp_path: Path) -> None:
    wider = TrainConfig.from_dict(
        {**SMALL, "modules": [], "width": 0.25, "weights": str(plain_run)}
    )
    with pytest.raises(UserError, match=r"holds another network: .* differ in size"):
        build_started(wider)
    with pytest.raises(UserError, match=r"expected imagenet, a file \.h5"):
        build_started(TrainConfig.from_dict({**SMALL, "weights": "weights.tflite"}))
    with pytest.raises(UserError, match=r"no weights file .*absent\.npz"):
        build_started(TrainConfig.from_dict({**SMALL, "weights": str(tmp_path / "absent.npz")}))


@pytest.mark.slow
def test_the_authors_tensors_fill_the_whole_network(tmp_path: Path) -> None:
    arrays = {name: draw(name, shape) for name, shape in network_shapes(8).items()}
    np.savez(tmp_path / "released.npz", **arrays)
    settings = {"frames": 8, "size": 64}
    config = TrainConfig.from_dict({**settings, "weights": str(tmp_path / "released.npz")})
    expected = build(TrainConfig.from_dict(settings))
    load_released_weights(expected, arrays)
    for ours, theirs in zip(
        build_started(config).get_weights(), expected.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    small = TrainConfig.from_dict({**settings, "width": 0.5, "weights": config.weights})
    with pytest.raises(UserError, match="does not fit compact_xception"):
        build_started(small)


@pytest.mark.parametrize(
    "precision", [pytest.param("mixed_float16", marks=pytest.mark.slow), "mixed_bfloat16"]
)
def test_mixed_precision_computes_narrow_and_keeps_weights_and_logits_wide(precision: str) -> None:
    config = TrainConfig.from_dict({"frames": 4, "size": 32, "width": 0.125})
    model = build(config, precision=precision)
    assert keras.mixed_precision.global_policy().name == "float32"
    assert {str(weight.dtype.name) for weight in model.weights} == {"float32"}
    narrow = precision.removeprefix("mixed_")
    kinds = {layer.compute_dtype for layer in model.layers if "sepconv" in layer.name}
    assert kinds == {narrow}
    assert model.output.dtype == tf.float32
    model.compile(
        make_optimiser(config), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    scaled = isinstance(model.optimizer, keras.mixed_precision.LossScaleOptimizer)
    assert scaled == (precision == "mixed_float16")


def test_a_backbone_that_judged_frame_by_frame_is_where_the_paper_s_network_starts(
    tmp_path: Path,
) -> None:
    """Its layers are taken over; modules and head are new."""
    size = {"size": 32, "frames": 4, "width": 0.125}
    frames = TrainConfig(network="frames", **size)
    run = start_run(tmp_path / "run")
    model = build(frames)
    for weight in model.weights:
        weight.assign(weight + 0.01)
    model.save_weights(str(run / WEIGHTS), save_format="h5")
    write_json(run / CONFIG, {"config": frames.to_dict()})
    frames.spec().replace(weights_sha256=file_sha256(run / WEIGHTS)).write(run / "clipspec.json")
    finish_run(run)
    started = build_started(TrainConfig(weights=str(run), **size))
    ours = {layer.name: layer for layer in started.layers}
    taken = [layer for layer in model.layers if layer.weights and layer.name in ours]
    assert len(taken) > 20
    for layer in taken:
        for one, other in zip(layer.get_weights(), ours[layer.name].get_weights(), strict=True):
            np.testing.assert_array_equal(one, other)


def test_new_modules_start_with_the_gamma_asked_for() -> None:
    small = {"frames": 4, "size": 32, "width": 0.125, "backbone": "resnet18"}
    for gamma in (0.0, 0.2):
        model = build_started(TrainConfig(gamma=gamma, **small))
        found = {
            float(layer.gamma[0])
            for layer in model.layers
            if hasattr(layer, "gamma") and layer.gamma.shape == (1,)
        }
        assert found == {np.float32(gamma)}

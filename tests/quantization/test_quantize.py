"""A run in int8, from the command to ONNX Runtime."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorflow_model_optimization")

from keras_ddl import quantize as command
from keras_ddl import train as training
from keras_ddl.build_network import load_run
from keras_ddl.config import TrainConfig
from keras_ddl.data.prepared import read_split
from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.edge.files import read_json
from keras_ddl.edge.runs import start_run
from keras_ddl.evaluation.clip_scores import Scores
from keras_ddl.quantization.compare import auc_change_interval, compare, table
from keras_ddl.quantization.quantise import quant_points
from keras_ddl.quantization.stored import load_quantised
from keras_ddl.training.options import TrainingOptions

SMALL = {"frames": 4, "size": 32, "width": 0.125, "batch": 8, "epochs": 2, "backbone": "resnet18"}


@pytest.fixture(scope="module")
def run(plain_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a backbone alone, in int8; the modules' quantisers are in `test_quantise.py`."""
    run = tmp_path_factory.mktemp("runs") / "plain"
    shutil.copytree(plain_run, run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "SENSITIVITY_CLIPS", 1)  # each of the layers takes them all
        _quantised(run)
    return run


@pytest.fixture(scope="module")
def module_run(flicker_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with MSA, in int8."""
    run = start_run(tmp_path_factory.mktemp("runs") / "small")
    config = TrainConfig.from_dict({**SMALL, "modules": ["msa"]})
    training.train(config, flicker_set, run, TrainingOptions(progress=False))
    _quantised(run)
    return run


def _quantised(run: Path) -> None:
    command.quantize(run, clips=24, epochs=1, learning_rate=1e-4, progress=False)


def test_float_calibrated_and_tuned_stand_side_by_side(run: Path) -> None:
    record = read_json(run / "int8" / "quantization.json")
    rows = {row["name"]: row for row in record["test"]}
    assert list(rows) == ["float", "PTQ", "QAT"]
    assert rows["float"]["largest"] == rows["float"]["flips"] == 0
    assert 0 < rows["PTQ"]["largest"] < 0.3  # rounded, and not broken
    assert rows["PTQ"]["largest"] != rows["QAT"]["largest"]
    layers = [row["layer"] for row in record["sensitivity"]]
    assert {"conv1", "fusion"} <= set(layers) and "logits" not in layers
    changes = [row["mean_margin_change"] for row in record["sensitivity"]]
    assert changes == sorted(changes, reverse=True) and changes[0] > 0
    assert (run / "int8" / "sensitivity.png").read_bytes().startswith(b"\x89PNG")
    lines = (run / "int8" / "sensitivity.csv").read_text().splitlines()
    assert lines[0] == "layer,mean_margin_change" and len(lines) == 1 + len(layers)


@pytest.mark.slow
def test_the_stored_network_is_the_one_that_was_judged(module_run: Path, flicker_set: Path) -> None:
    int8, spec = load_quantised(module_run)
    record = read_json(module_run / "int8" / "quantization.json")
    clips = read_split(flicker_set, "test").clips[:]
    logits = int8.predict_on_batch(clips)
    exact = load_run(module_run)[0].predict_on_batch(clips)
    chance = [1 / (1 + np.exp(margin[:, 0] - margin[:, 1])) for margin in (logits, exact)]
    kept = next(row for row in record["test"] if row["name"] == record["chosen"])
    assert np.abs(chance[0] - chance[1]).max() == pytest.approx(kept["largest"], rel=1e-3)
    assert spec.weights_sha256 == record["weights_sha256"] != record["float_sha256"]
    assert record["chosen"] == "PTQ" or any(  # fine-tuning moves the ranges too
        abs(point.amax - record["ranges"][name]) > 0 for name, point in quant_points(int8).items()
    )


@pytest.mark.slow
def test_onnx_runtime_gives_what_the_int8_network_gives(
    module_run: Path, flicker_set: Path
) -> None:
    ort = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    from export.graph.int8_share import int8_share
    from export.to_onnx import onnx_from_keras

    int8, _ = load_quantised(module_run)
    proto = onnx_from_keras(int8)
    kinds = [node.op_type for node in proto.graph.node]
    assert "Clip" not in kinds and kinds.count("QuantizeLinear") == kinds.count("DequantizeLinear")
    share = int8_share(proto)
    assert share.share >= 0.95
    floats = {node.name.split("/")[1] for node in share.nodes if not node.int8}
    assert floats == {"attention_squeeze", "attention_excite", "logits"}
    constants = {t.name: t for t in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "DequantizeLinear":  # symmetric
            zero = np.frombuffer(constants[node.input[2]].raw_data, np.int8)
            assert not zero.any()
    clips = read_split(flicker_set, "val").clips[:]
    found = ort.InferenceSession(proto.SerializeToString()).run(None, {"clip": clips})[0]
    logits = int8.predict_on_batch(clips)
    expected = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    assert np.abs(found - expected).max() < 0.02
    assert np.abs(found - expected).mean() < 0.005


def test_what_is_not_there_or_not_the_same_is_named(run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "int8" / "weights.h5").write_bytes(b"no")
    with pytest.raises(UserError, match=r"is not what quantization\.json names"):
        load_quantised(copy)
    shutil.rmtree(copy / "int8")
    with pytest.raises(UserError, match="has no int8 network; make one with") as caught:
        load_quantised(copy)
    assert caught.value.exit_code == MISSING


def test_a_comparison_by_hand() -> None:
    keys = tuple(("set", "m", "", name) for name in "aabbccdd")
    labels = np.array([0, 0, 0, 0, 1, 1, 1, 1])
    exact = np.array([0.1, 0.3, 0.2, 0.2, 0.8, 0.8, 0.9, 0.7])
    other = np.array([0.1, 0.3, 0.9, 0.8, 0.8, 0.8, 0.4, 0.2])
    networks = {"float": Scores(keys, labels, exact), "int8": Scores(keys, labels, other)}
    first, second = compare(networks, 0.5)
    assert (first["auc"], first["auc_change"], first["flips"]) == (1, 0, 0)
    assert second["auc"] == 0.5 and second["auc_change"] == -0.5  # b above c and d: 2 of 4 pairs
    assert (second["flips"], second["flipped_videos"]) == (4, 2)
    assert second["largest"] == pytest.approx(0.7)
    assert second["mean"] == pytest.approx((0.7 + 0.6 + 0.5 + 0.5) / 8)
    assert table([first, second]).count("\n") == 2


def test_the_interval_of_a_change_holds_it_and_is_nothing_where_nothing_changed() -> None:
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)
    before = labels + random.normal(0, 0.8, 80)
    after = labels + random.normal(0, 1.6, 80)
    low, high = auc_change_interval(labels, before, after)
    assert low < high < 0.05 and low < -0.05
    assert auc_change_interval(labels, before, before) == (0, 0)

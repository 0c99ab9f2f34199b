"""Training: it learns, repeats with its seed, chooses on validation, and leaves a whole run."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl import train as training
from keras_ddl.build_network import load_run
from keras_ddl.config import TrainConfig
from keras_ddl.data.pipeline import clip_dataset
from keras_ddl.edge.clipspec import ClipSpec
from keras_ddl.edge.errors import UserError
from keras_ddl.edge.files import file_sha256
from keras_ddl.edge.runs import WEIGHTS, start_run
from keras_ddl.evaluation.clip_scores import clip_logits
from keras_ddl.framework import keras
from keras_ddl.training.callbacks.best_weights import BestWeights
from keras_ddl.training.callbacks.progress import Progress, Record
from keras_ddl.training.callbacks.validation import VideoAUC, cross_entropy
from keras_ddl.training.devices import Devices
from keras_ddl.training.fit import fit
from keras_ddl.training.options import TrainingOptions

SMALL = {"frames": 4, "size": 32, "width": 0.25, "batch": 8, "epochs": 3, "halve_every": 2}
PLAIN = TrainConfig.from_dict({**SMALL, "modules": []})
QUIET = TrainingOptions(progress=False)


def test_it_learns_what_can_be_learnt(trained_run: Path) -> None:
    history = json.loads((trained_run / "history.json").read_text())
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    metrics = json.loads((trained_run / "metrics.json").read_text())
    assert metrics["validation"]["video"]["auc"] > 0.9
    assert metrics["validation"]["split"] == "val" and "test" not in metrics
    best = metrics["best_epoch"]
    aucs = history["val_video_auc"]
    assert aucs[best - 1] == max(aucs) == metrics["validation"]["video"]["auc"]


def test_every_modules_gamma_has_moved(trained_run: Path) -> None:
    gamma = json.loads((trained_run / "metrics.json").read_text())["gamma"]
    assert [name.split(":")[0] for name in gamma] == ["dfdc", "msa"] * 4
    assert all(value != 0 for value in gamma.values())
    history = json.loads((trained_run / "history.json").read_text())
    last = np.mean([abs(v) for name, v in gamma.items() if name.startswith("msa")])
    best = json.loads((trained_run / "metrics.json").read_text())["best_epoch"]
    assert history["gamma_msa"][best - 1] == pytest.approx(last, rel=1e-5)


def test_learning_rate_is_halved_when_the_config_says(trained_run: Path) -> None:
    history = json.loads((trained_run / "history.json").read_text())
    assert history["lr"] == pytest.approx([1e-3, 1e-3, 5e-4, 5e-4])


def test_the_run_is_whole_and_is_the_latest(trained_run: Path) -> None:
    names = {path.name for path in trained_run.iterdir()}
    assert names == {
        "MODEL_CARD.md",
        "clipspec.json",
        "config.json",
        "curves.png",
        "history.csv",
        "history.json",
        "manifest.json",
        "metrics.json",
        "tensorboard",
        "wrong_videos.jsonl",
        WEIGHTS,
    }
    assert (trained_run.parent / "latest").resolve() == trained_run.resolve()
    rows = list(csv.DictReader((trained_run / "history.csv").read_text().splitlines()))
    history = json.loads((trained_run / "history.json").read_text())
    assert [float(row["loss"]) for row in rows] == history["loss"]
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3, 4]
    assert (trained_run / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_loading_a_run_gives_the_selected_epochs_network(
    trained_run: Path, flicker_set: Path
) -> None:
    model, config, spec = load_run(trained_run)
    assert (config.epochs, config.modules, config.width) == (4, ("dfdc", "msa"), 0.125)
    assert spec.replace(training={}, metrics={}, weights_sha256="") == ClipSpec.read(
        flicker_set / "clipspec.json"
    )
    assert spec.weights_sha256 == file_sha256(trained_run / WEIGHTS)
    logits = clip_logits(model, clip_dataset(flicker_set, "val", 16))
    labels = np.repeat([0, 1], 8)
    metrics = json.loads((trained_run / "metrics.json").read_text())
    history = json.loads((trained_run / "history.json").read_text())
    loss = history["val_loss"][metrics["best_epoch"] - 1]
    assert cross_entropy(logits, labels) == pytest.approx(loss, rel=1e-4)
    assert metrics["parameters"] == model.count_params()


@pytest.mark.slow
def test_a_seed_repeats_and_the_test_split_plays_no_part(flicker_set: Path, tmp_path: Path) -> None:
    """The second training has no test split to look at, and comes out the same, bit by bit."""
    without = tmp_path / "without"
    shutil.copytree(flicker_set, without)
    shutil.rmtree(without / "test")
    first, again = (
        fit(PLAIN, prepared, tmp_path / "w.h5", QUIET) for prepared in (flicker_set, without)
    )
    assert first.history == again.history
    assert first.best_epoch == again.best_epoch
    for ours, theirs in zip(first.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("aucs", "losses", "best"),
    [
        ([0.6, 0.9, 0.8], [1.0, 2.0, 0.1], 2),  # AUC decides, whatever the loss
        ([0.9, 0.9, 0.9], [0.5, 0.3, 0.4], 2),  # a tie goes to the lower loss
        ([0.9, 0.9, 0.9], [0.3, 0.3, 0.3], 1),  # a full tie to the earlier epoch
        ([0.0, 0.0, 0.5], [9.0, 9.0, 9.0], 3),
    ],
)
def test_best_epoch(aucs: list[float], losses: list[float], best: int, tmp_path: Path) -> None:
    """The file holds the weights of the best epoch; the weight is the epoch's number."""
    model = keras.Sequential([keras.layers.Dense(1, use_bias=False, input_shape=(1,))])
    progress = Progress()
    keeper, record = BestWeights(tmp_path / "w.h5", progress), Record(progress)
    keeper.set_model(model)
    record.set_model(model)
    for epoch, (auc, loss) in enumerate(zip(aucs, losses, strict=True)):
        model.set_weights([np.full((1, 1), epoch + 1.0)])
        for callback in (keeper, record):
            callback.on_epoch_end(epoch, {"val_video_auc": auc, "val_loss": loss})
    model.load_weights(str(tmp_path / "w.h5"))
    assert progress.best_epoch == best == model.get_weights()[0].item()
    assert [path.name for path in tmp_path.iterdir()] == ["w.h5"]


def test_cross_entropy_by_hand() -> None:
    logits = np.array([[0.0, 0.0], [1000.0, 0.0]], np.float32)
    assert cross_entropy(logits, np.array([1, 0])) == pytest.approx(np.log(2) / 2)
    assert cross_entropy(logits, np.array([1, 1])) == pytest.approx((np.log(2) + 1000) / 2)


def test_one_class_is_refused_with_its_counts(flicker_set: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(flicker_set, broken)
    index = json.loads((broken / "val/index.json").read_text())
    for row in index["clips"]:
        row["label"] = 0
    (broken / "val/index.json").write_text(json.dumps(index))
    with pytest.raises(UserError, match="in val, received 16 real and 0 fake clips"):
        fit(PLAIN, broken, tmp_path / "w.h5", QUIET)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_diverged_weights_stop_the_training_with_one_line(flicker_set: Path, bad: float) -> None:
    """ReLU turns NaN into 0 on the CPU: the outputs are finite and the weights are not."""
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Rescaling(1 / 255, input_shape=(4, 32, 32, 3)),
            layers.GlobalAveragePooling3D(),
            layers.Dense(4, activation="relu"),
            layers.Dense(2),
        ]
    )
    watcher = VideoAUC(PLAIN, flicker_set, Devices())
    watcher.set_model(model)
    logs: dict[str, float] = {}
    watcher.on_epoch_end(0, logs)
    assert set(logs) == {"val_loss", "val_clip_auc", "val_video_auc", "val_video_accuracy"}
    model.layers[2].set_weights([np.full((3, 4), bad), np.zeros(4)])
    with pytest.raises(UserError, match="not finite after epoch 4"):
        watcher.on_epoch_end(3, logs)


@pytest.mark.slow
def test_the_command_trains_on_prepared_clips_and_keeps_averaged_weights(
    flicker_set: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {**SMALL, "width": 0.125, "epochs": 1, "modules": "none", "ema": 0.5}
    out = tmp_path / "run"
    options = ["--prepared", str(flicker_set), "--out", str(out)]
    assert training.main([*options, "--set", *(f"{k}={v}" for k, v in settings.items())]) == 0
    assert "results in" in capsys.readouterr().out
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["training_seconds"] > 0
    assert manifest["energy_joules"] is None or manifest["hardware"]["gpus"]
    assert manifest["data"]["splits"]["train"]["clips"] == 48
    model, config, _ = load_run(out)
    assert config.ema == 0.5
    assert np.isfinite(clip_logits(model, clip_dataset(flicker_set, "val", 8))).all()


def test_clips_cut_to_another_spec_are_refused(flicker_set: Path, tmp_path: Path) -> None:
    config = TrainConfig.from_dict({**SMALL, "size": 64})
    with pytest.raises(UserError, match="is cut with size 32, the model expects 64"):
        fit(config, flicker_set, tmp_path / "best.h5", QUIET)


@pytest.mark.slow
def test_xla_compiles_the_step_of_both_modules(flicker_set: Path, tmp_path: Path) -> None:
    config = TrainConfig.from_dict({**SMALL, "width": 0.125, "epochs": 1, "xla": True})
    fitted = fit(config, flicker_set, tmp_path / "best.h5", QUIET)
    assert np.isfinite(fitted.history["loss"]).all()
    assert fitted.model.jit_compile


def test_a_used_run_folder_is_refused(trained_run: Path) -> None:
    with pytest.raises(UserError, match="expected a new or empty run folder"):
        start_run(trained_run)


def test_runs_that_cannot_be_loaded_say_why(trained_run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"is not there; make one with: python -m keras_ddl\.train"):
        load_run(tmp_path / "nowhere")
    for name in (WEIGHTS, "config.json", "clipspec.json"):
        copy = tmp_path / name
        shutil.copytree(trained_run, copy)
        (copy / name).unlink()
        with pytest.raises(UserError, match=f"holds no {name}"):
            load_run(copy)
    copy = tmp_path / "other"
    shutil.copytree(trained_run, copy)
    with (copy / WEIGHTS).open("ab") as file:
        file.write(b"0")
    with pytest.raises(UserError, match=r"not the file that clipspec\.json names"):
        load_run(copy)


# For the weights; for the checkpoint.
@pytest.mark.slow  # the same of `prepare` and `synthetic` is quick
@pytest.mark.parametrize("kib", [400, 1500])
def test_a_full_disk_is_one_line_and_the_training_goes_on_with_room(
    kib: int, flicker_set: Path, small_disk: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    run = small_disk(kib) / "run"
    small = ["frames=4", "size=32", "width=0.125", "batch=8", "epochs=2", "backbone=resnet18"]
    options = ["--prepared", str(flicker_set), "--set", *small]
    assert training.main([*options, "--out", str(run)]) == 3
    said = capfd.readouterr().err
    (line,) = [line for line in said.splitlines() if line.startswith("error: ")]
    assert "No space left on device" in line and "make room" in line and "Traceback" not in said
    small_disk(64_000)
    assert training.main(["--prepared", str(flicker_set), "--resume", str(run)]) == 0
    assert (run / WEIGHTS).is_file() and not (run / "INCOMPLETE").exists()

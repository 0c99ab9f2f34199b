"""TensorBoard's own reader finds in the files what the history holds, and clips to look at."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
pytest.importorskip("tensorboard")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from keras_ddl.build_network import build
from keras_ddl.config import TrainConfig
from keras_ddl.data.prepared import read_split
from keras_ddl.framework import keras
from keras_ddl.report.strip import SIDE
from keras_ddl.training.callbacks.tensorboard import TensorBoardLog, tensorboard_logs
from keras_ddl.training.devices import Devices

SMALL = {"frames": 4, "size": 32, "width": 0.125, "backbone": "resnet18"}
NAMES = {  # the first and the last clip of each class
    "clips/real flicker/real/val0",
    "clips/real flicker/real/val3",
    "clips/fake flicker/fake/val0",
    "clips/fake flicker/fake/val3",
}


def read(folder: Path) -> EventAccumulator:
    found = EventAccumulator(str(folder), size_guidance={"tensors": 0})
    found.Reload()
    return found


def scalars(found: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(e.step, tf.make_ndarray(e.tensor_proto).item()) for e in found.Tensors(tag)]


def picture(event: Any) -> np.ndarray:
    width, height, *images = tf.make_ndarray(event.tensor_proto)
    assert len(images) == 1
    image = tf.io.decode_png(images[0]).numpy()
    assert image.shape == (int(height), int(width), 3)
    return image


def test_every_number_of_every_epoch_is_there(trained_run: Path) -> None:
    history = json.loads((trained_run / "history.json").read_text())
    found = read(trained_run / "tensorboard")
    assert {"loss", "val_video_auc", "lr", "gamma_dfdc"} <= set(history)
    for name, values in history.items():
        assert scalars(found, f"epoch/{name}") == [
            (epoch, np.float32(value)) for epoch, value in enumerate(values, start=1)
        ]


def test_every_modules_gamma_is_there_by_name(trained_run: Path) -> None:
    metrics = json.loads((trained_run / "metrics.json").read_text())
    found = read(trained_run / "tensorboard")
    tags = [tag for tag in found.Tags()["tensors"] if tag.startswith("gamma/")]
    assert {f"gamma/{name}" for name in metrics["gamma"]} == set(tags) and len(tags) == 8
    for name, value in metrics["gamma"].items():
        at_best = scalars(found, f"gamma/{name}")[metrics["best_epoch"] - 1]
        assert at_best == (metrics["best_epoch"], np.float32(value))


def test_clips_of_both_classes_are_shown_with_where_the_network_looked(
    trained_run: Path, flicker_set: Path
) -> None:
    found = read(trained_run / "tensorboard")
    assert {tag for tag in found.Tags()["tensors"] if tag.startswith("clips/")} == NAMES
    data = read_split(flicker_set, "val")
    for name in NAMES:
        events = found.Tensors(name)
        assert [event.step for event in events] == [1, 2, 3, 4]
        for image in map(picture, events):
            assert image.shape == (2 * SIDE, 4 * SIDE, 3)  # frames above, maps below
            assert image[:SIDE].std() > 10
            below = image[SIDE:].astype(int)
            assert np.ptp(below, axis=2).max() > 30  # coloured where it looked; the rest is grey
        kind = name.split("/")[2]
        number = [key[1] for key in data.keys].index(kind) + (6 + 1 if name.endswith("3") else 0)
        first = data.clips[number][0].mean(axis=(0, 1))  # the frame's mean colour
        np.testing.assert_allclose(image[:SIDE, :SIDE].mean(axis=(0, 1)), first, atol=1)


def test_without_dfdc_the_frames_stand_alone(flicker_set: Path, tmp_path: Path) -> None:
    log = TensorBoardLog(tmp_path, flicker_set, Devices())
    log.set_model(build(TrainConfig.from_dict({**SMALL, "modules": ["msa"]})))
    log.on_epoch_end(4, {"loss": 0.25})
    found = read(tmp_path)
    assert scalars(found, "epoch/loss") == [(5, 0.25)]
    assert all(picture(found.Tensors(name)[0]).shape == (SIDE, 4 * SIDE, 3) for name in NAMES)


def test_another_process_adds_to_the_same_folder(flicker_set: Path, tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Dense(1, input_shape=(1,))])
    for epochs in ((0, 1), (1, 2)):  # epoch 2 comes again, as after a kill
        log = TensorBoardLog(tmp_path, flicker_set, Devices())
        log.set_model(model)
        for epoch in epochs:
            log.on_epoch_end(epoch, {"loss": 1.0 - epoch})
    assert len(list(tmp_path.iterdir())) == 2
    points = scalars(read(tmp_path), "epoch/loss")
    assert sorted(set(points)) == [(1, 1.0), (2, 0.0), (3, -1.0)]


def test_a_set_with_fakes_of_its_own_shows_and_judges_by_them(
    flicker_set: Path, tmp_path: Path
) -> None:
    log = TensorBoardLog(tmp_path, flicker_set, Devices(), "only")
    log.set_model(keras.Sequential([keras.layers.Dense(1, input_shape=(1,))]))
    log.on_epoch_end(0)
    found = read(tmp_path)
    assert "clips/fake flicker/fake/val3" in found.Tags()["tensors"]


def test_a_missing_package_is_one_line(
    flicker_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with caplog.at_level(logging.INFO):
        assert tensorboard_logs(tmp_path, flicker_set, Devices()) == []
        (second,) = tensorboard_logs(tmp_path, flicker_set, Devices(worker=1, workers=2))
    assert caplog.messages == ["no files for TensorBoard: for them, pip install tensorboard"]
    second.set_model(keras.Sequential([keras.layers.Dense(1, input_shape=(1,))]))
    second.on_epoch_end(0, {"loss": 1.0})
    assert not list(tmp_path.iterdir())

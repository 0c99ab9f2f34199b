"""Settings of a training: each would be noticed if it silently did nothing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.build_network import build
from keras_ddl.config import TrainConfig
from keras_ddl.data.prepared import read_split
from keras_ddl.edge.errors import CHECK_FAILED, UserError
from keras_ddl.evaluation.hardest import hardest, read_lines
from keras_ddl.framework import keras
from keras_ddl.training.batch_norm import backbone_layers
from keras_ddl.training.callbacks.hard_videos import HardVideos
from keras_ddl.training.callbacks.progress import Progress
from keras_ddl.training.callbacks.validation import VideoAUC
from keras_ddl.training.callbacks.wrong_videos import WrongVideos
from keras_ddl.training.checkpoint import Checkpoints
from keras_ddl.training.devices import Devices
from keras_ddl.training.fit import Fitted, fit, phases, training_clips
from keras_ddl.training.optimiser import make_optimiser
from keras_ddl.training.options import TrainingOptions

# The network that is traced fastest; what it is does not matter to most of these.
SMALL = {
    "frames": 4,
    "size": 32,
    "width": 0.125,
    "batch": 8,
    "epochs": 2,
    "network": "shallownet",
}
QUIET = TrainingOptions(progress=False)


def config(**values: Any) -> TrainConfig:
    return TrainConfig.from_dict({**SMALL, **values})


def linear() -> keras.Model:
    """A clip's mean colour → logits: no batch norm, which moves on at any learning rate."""
    layers = keras.layers
    return keras.Sequential(
        [
            layers.Rescaling(1 / 255, input_shape=(4, 32, 32, 3)),
            layers.GlobalAveragePooling3D(),
            layers.Dense(2),
        ]
    )


class Steps(keras.callbacks.Callback):
    """Notes something of the model after every step."""

    def __init__(self, look: Any) -> None:
        super().__init__()
        self.look, self.seen = look, []

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.seen.append(self.look(self.model))


def watched(settings: TrainConfig, prepared: Path, out: Path, look: Any) -> tuple[Fitted, list]:
    steps = Steps(look)
    fitted = fit(settings, prepared, out / "w.h5", QUIET, callbacks=[steps])
    return fitted, steps.seen


def test_the_rate_of_every_step_is_the_configurations(flicker_set: Path, tmp_path: Path) -> None:
    """Six steps an epoch; warm-up over four, halved after the first epoch, scaled by 8 / 2."""
    settings = config(
        learning_rate=0.001, warmup_steps=4, halve_every=1, scale_lr="linear", base_batch=2
    )
    _, rates = watched(
        settings, flicker_set, tmp_path, lambda model: float(model.optimizer.learning_rate)
    )
    first = [0.001, 0.002, 0.003, 0.004, 0.004, 0.004]
    assert rates == pytest.approx([*first, *[0.002] * 6])


@pytest.mark.slow
def test_a_frozen_backbone_rests_while_the_rest_learns(flicker_set: Path, tmp_path: Path) -> None:
    settings = config(
        network="ddl", backbone="resnet18", modules=["msa"], batch=16, frozen_epochs=1
    )

    def look(model: Any) -> tuple[list[np.ndarray], np.ndarray]:
        backbone = [w.numpy() for layer in backbone_layers(model) for w in layer.weights]
        return backbone, model.get_layer("logits").get_weights()[0]

    fitted, seen = watched(settings, flicker_set, tmp_path, look)
    names = {layer.name for layer in backbone_layers(fitted.model)}
    assert {"conv1", "conv1_bn", "layer4_1_conv2"} <= names
    assert not names & {"fusion", "logits", "stage1_msa"}
    frozen, free = seen[:3], seen[3:]  # three steps an epoch
    for backbone, _ in frozen[1:]:
        for now, before in zip(backbone, frozen[0][0], strict=True):
            np.testing.assert_array_equal(now, before)  # moving statistics too
    assert (frozen[2][1] != frozen[0][1]).any()
    moved = [(a != b).any() for a, b in zip(free[2][0], frozen[0][0], strict=True)]
    assert np.mean(moved) > 0.8
    assert len(fitted.history["loss"]) == 2


@pytest.mark.parametrize("more", [{}, {"ema": 0.9}, {"precision": "mixed_float16"}], ids=str)
def test_a_step_is_traced_once(more: dict[str, Any], flicker_set: Path, tmp_path: Path) -> None:
    model, traced = linear(), []
    step = model.train_step
    model.train_step = lambda data: traced.append(data) or step(data)
    fit(config(epochs=1, **more), flicker_set, tmp_path / "w.h5", QUIET, model=model)
    assert len(traced) == 1


def test_phases() -> None:
    assert [(p.first, p.last, p.rests) for p in phases(config(epochs=5))] == [(0, 5, False)]
    both = phases(config(epochs=5, frozen_epochs=2))
    assert [(p.first, p.last, p.rests) for p in both] == [(0, 2, True), (2, 5, False)]


@pytest.mark.parametrize(("selection", "chosen"), [("best", 1), ("last", 3)])
def test_weights_are_those_of_the_best_epoch_or_of_the_last(
    selection: str, chosen: int, flicker_set: Path, tmp_path: Path
) -> None:
    """At a rate of nearly nothing the first epoch is as good as any, and none is better."""
    settings = config(epochs=3, selection=selection, learning_rate=1e-30)
    written = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, _: written.append((tmp_path / "w.h5").stat().st_mtime_ns)
    )
    fitted = fit(settings, flicker_set, tmp_path / "w.h5", QUIET, model=linear(), callbacks=[note])
    assert fitted.best_epoch == chosen and len(set(written)) == chosen


def test_patience_ends_a_training_that_gets_no_better(flicker_set: Path, tmp_path: Path) -> None:
    """At a rate of nearly nothing neither the validation AUC nor its loss moves."""
    settings = config(epochs=9, patience=2, learning_rate=1e-30)
    fitted = fit(settings, flicker_set, tmp_path / "w.h5", QUIET, model=linear())
    assert (fitted.best_epoch, len(fitted.history["loss"])) == (1, 3)
    assert not Progress(epoch=4, best_epoch=1).waited(0)
    assert Progress(epoch=4, best_epoch=1).waited(3)
    assert not Progress(epoch=4, best_epoch=2).waited(3)


def test_float16_scales_the_loss_in_training(flicker_set: Path, tmp_path: Path) -> None:
    def look(model: Any) -> tuple[float, str]:
        return float(model.optimizer.loss_scale), model.get_layer("block1_conv1").compute_dtype

    fitted, seen = watched(config(precision="mixed_float16", epochs=1), flicker_set, tmp_path, look)
    assert np.isfinite(fitted.history["loss"]).all()
    assert all(scale >= 1 and kind == "float16" for scale, kind in seen)


def test_weights_count_in_the_loss(flicker_set: Path, tmp_path: Path) -> None:
    """With every other real forgotten, reals weigh twice as much, as the first loss tells."""
    fewer = tmp_path / "fewer"
    shutil.copytree(flicker_set, fewer)
    index = json.loads((fewer / "train/index.json").read_text())
    reals = [row for row in index["clips"] if row["label"] == 0]
    gone = [row["key"] for row in reals[::2]]
    index["clips"] = [row for row in index["clips"] if row["label"] or row["key"] not in gone[:6]]
    (fewer / "train/index.json").write_text(json.dumps(index))
    labels = read_split(fewer, "train").labels
    assert 0 < (labels == 0).sum() < (labels == 1).sum()

    model = linear()
    settings = config(balance="weights", epochs=1)
    clips, labels, weights = next(iter(training_clips(settings, fewer).stream(8)))
    assert len(set(weights.numpy().tolist())) == 2
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(clips))
    expected = float(tf.reduce_mean(weights * entropy))
    losses: list[float] = []
    first = keras.callbacks.LambdaCallback(on_batch_end=lambda _, logs: losses.append(logs["loss"]))
    fit(settings, fewer, tmp_path / "w.h5", QUIET, model=model, callbacks=[first])
    assert losses[0] == pytest.approx(expected, rel=1e-5)


def test_what_is_no_number_is_named_with_its_videos(flicker_set: Path, tmp_path: Path) -> None:
    """A rate of 1e30 throws the weights out of float32 with the second step."""
    settings = config(learning_rate=1e30)
    with pytest.raises(UserError, match="diverged at step 2 of epoch 1") as caught:
        fit(settings, flicker_set, tmp_path / "w.h5", QUIET)
    assert caught.value.exit_code == CHECK_FAILED
    for video in training_clips(settings, flicker_set).videos_of(8, 0, 1):
        assert video in str(caught.value)


def test_wrong_videos_are_those_on_the_wrong_side(flicker_set: Path, tmp_path: Path) -> None:
    """At a rate of nearly nothing it learns nothing: half of the videos are wrong."""
    path, settings = tmp_path / "wrong.jsonl", config(learning_rate=1e-12)
    validation = VideoAUC(settings, flicker_set, Devices())
    log = WrongVideos(path, validation)
    weights = tmp_path / "w.h5"
    fit(settings, flicker_set, weights, QUIET, validation=validation, callbacks=[log])
    lines = read_lines(path)
    assert [line["epoch"] for line in lines] == [1, 2]
    for line in lines:
        assert line["wrong"]
        for video in line["wrong"]:
            assert (video["score"] >= 0.5) == (video["label"] == "real")
        distances = [abs(video["score"] - 0.5) for video in line["wrong"]]
        assert distances == sorted(distances, reverse=True)
    both = {v["video"] for v in lines[0]["wrong"]} & {v["video"] for v in lines[1]["wrong"]}
    found = hardest(path)
    assert len(found) == min(5, len(both)) and all(v in both and n == 2 for v, n in found)


def test_deterministic_repeats_to_the_bit(flicker_set: Path, tmp_path: Path) -> None:
    settings = config(deterministic=True, epochs=1)
    first, again = (fit(settings, flicker_set, tmp_path / "w.h5", QUIET) for _ in range(2))
    for ours, theirs in zip(first.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    other = fit(config(deterministic=True, epochs=1, seed=1), flicker_set, tmp_path / "w.h5", QUIET)
    assert any(
        (a != b).any()
        for a, b in zip(first.model.get_weights(), other.model.get_weights(), strict=True)
    )


def stepped(settings: TrainConfig, gradients: list[list[float]]) -> tuple[np.ndarray, Any]:
    """A variable [1, 2] after some steps with given gradients."""
    optimiser = make_optimiser(settings)
    weight = tf.Variable([1.0, 2.0])
    for gradient in gradients:
        optimiser.apply_gradients([(tf.constant(gradient), weight)])
    return weight.numpy(), optimiser


def adam(gradients: list[list[float]], rate: float) -> np.ndarray:
    """The weight [1, 2] after Adam's update rule, in NumPy."""
    weight, first, second = np.array([1.0, 2.0]), np.zeros(2), np.zeros(2)
    for step, gradient in enumerate(np.array(gradients), start=1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        weight -= rate * first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-7)
    return weight


def test_plain_adam() -> None:
    gradients = [[3.0, -4.0], [0.1, 0.2], [1.0, 0.0]]
    weight, _ = stepped(config(learning_rate=0.01), gradients)
    np.testing.assert_allclose(weight, adam(gradients, 0.01), rtol=1e-5)


def test_large_gradients_are_scaled_to_the_norm_and_small_ones_are_left() -> None:
    """[3, -4] has norm 5 and becomes [0.6, -0.8]; [0.1, 0.2] is below 1 and stays."""
    weight, _ = stepped(config(learning_rate=0.01, clip_norm=1.0), [[3.0, -4.0], [0.1, 0.2]])
    np.testing.assert_allclose(weight, adam([[0.6, -0.8], [0.1, 0.2]], 0.01), rtol=1e-5)
    unclipped = adam([[3.0, -4.0], [0.1, 0.2]], 0.01)
    assert np.abs(weight - unclipped).max() > 1e-3


class StopsBefore(keras.callbacks.Callback):
    """Ends a training as Ctrl-C does, before an epoch begins."""

    def __init__(self, epoch: int) -> None:
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == self.epoch:
            raise KeyboardInterrupt


@pytest.mark.slow
@pytest.mark.parametrize("ema", [0.0, 0.9])
def test_a_training_goes_on_to_the_same_bits_where_the_backbone_joins_in(
    ema: float, flicker_set: Path, tmp_path: Path
) -> None:
    """There begins another optimiser, and a network's checkpoint holds that of the phase before."""
    asked = config(
        network="ddl", backbone="resnet18", modules=[], frozen_epochs=1, ema=ema, deterministic=True
    )
    whole = fit(asked, flicker_set, tmp_path / "whole.h5", QUIET)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    options = replace(QUIET, checkpoint_every=0)
    parts = asked, flicker_set, tmp_path / "parts.h5", options
    with pytest.raises(KeyboardInterrupt):
        fit(*parts, checkpoints=checkpoints, callbacks=[StopsBefore(1)])
    again = fit(*parts, checkpoints=checkpoints)
    assert again.history == whole.history
    for ours, theirs in zip(again.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_single_frames_train_the_network_that_judges_clips(
    flicker_set: Path, tmp_path: Path
) -> None:
    asked = config(single_frames=True)
    batch, labels = next(iter(training_clips(asked, flicker_set).stream(8)))
    assert batch.shape == (8, 1, 32, 32, 3) and labels.shape == (8,)
    fitted = fit(asked, flicker_set, tmp_path / "w.h5", QUIET)
    assert fitted.model.input_shape == (None, 4, 32, 32, 3)
    kept = build(asked)
    kept.load_weights(str(tmp_path / "w.h5"))
    for one, other in zip(fitted.model.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_single_frames_are_for_networks_that_judge_frame_by_frame() -> None:
    with pytest.raises(UserError, match="single_frames: ddl looks at frames together"):
        config(network="ddl", single_frames=True)
    assert config(network="frames", single_frames=True).by_frames()
    with pytest.raises(UserError, match="single_frames: convlstm"):
        config(network="convlstm", single_frames=True)


def test_hard_videos_are_noted_and_come_more_often(flicker_set: Path, tmp_path: Path) -> None:
    asked = config(mining=1.0)
    clips, progress = training_clips(asked, flicker_set), Progress()
    callback = HardVideos(asked, flicker_set, clips, Devices(), progress)
    callback.set_model(linear())
    callback.on_epoch_end(0)
    keys = clips.data.keys
    assert len(progress.hard) == round(0.25 * len(set(keys)))
    drawn = [keys[clip] for clip, _ in clips.order.draws(1, progress.hard_keys())]
    assert sum(key in progress.hard_keys() for key in drawn) > len(drawn) / 3
    fitted = fit(asked, flicker_set, tmp_path / "w.h5", QUIET)  # every epoch a leg of its own
    assert len(fitted.history["loss"]) == asked.epochs

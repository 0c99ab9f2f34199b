"""Training of a localisation head: masks reach the loss, and it learns where forgeries are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from keras_ddl.build_network import build
from keras_ddl.config import TrainConfig
from keras_ddl.edge.errors import UserError
from keras_ddl.framework import keras
from keras_ddl.networks.localise import LAYER
from keras_ddl.networks.model import with_inconsistency_map
from keras_ddl.training.localise import LOSS, grid_of, localising, mask_loss
from keras_ddl.training.optimiser import compile_model

SMALL = {
    "network": "frames",
    "backbone": "efficientnet_lite0",
    "width": 0.25,
    "frames": 4,
    "size": 32,
    "batch": 8,
    "localise": "stage4",
    "pseudo_fakes": "only",
    "learning_rate": 0.01,
}


def config(**values: object) -> TrainConfig:
    return TrainConfig.from_dict({**SMALL, **values})


def batch(random: np.random.Generator, count: int = 8) -> tuple[np.ndarray, ...]:
    """Grey clips; the fakes have a bright square, of which the masks tell."""
    clips = random.integers(60, 100, (count, 4, 32, 32, 3), np.uint8)
    labels, masks = np.arange(count) % 2, np.zeros((count, 4, 4, 4), np.float32)
    for number in np.flatnonzero(labels):
        row, column = random.integers(0, 3, 2)
        clips[number, :, 8 * row : 8 * row + 16, 8 * column : 8 * column + 16] += 100
        masks[number, :, row : row + 2, column : column + 2] = 1
    return clips, labels, masks


def test_the_head_learns_where_the_fakes_are() -> None:
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    model = build(config())
    assert grid_of(model) == 4
    trained = localising(model, 1.0)
    compile_model(trained, config())
    clips, labels, masks = batch(random, 64)
    data = tf.data.Dataset.from_tensor_slices((clips, (labels, masks))).batch(8).repeat()
    found = trained.fit(data, steps_per_epoch=40, epochs=1, verbose=0)
    assert set(found.history) == {"loss", "accuracy", LOSS}
    clips, labels, masks = batch(random)
    # With the batch's own statistics: forty steps are too few for the moving ones.
    both = keras.Model(trained.input, [trained.output, trained.get_layer(LAYER).output])
    cells = both(clips, training=True)[1].numpy().reshape(8, 4, 4, 4)
    inside, outside = cells[masks == 1], cells[masks == 0]
    assert inside.mean() > outside.mean() + 1


def test_the_network_keeps_its_layers_and_weights(tmp_path: Path) -> None:
    model = build(config())
    trained = localising(model, 0.5)
    assert [layer.name for layer in trained.layers] == [layer.name for layer in model.layers]
    assert len(trained.weights) == len(model.weights)
    trained.save_weights(str(tmp_path / "w.h5"), save_format="h5")
    again = build(config())
    again.load_weights(str(tmp_path / "w.h5"))
    clips = batch(np.random.default_rng(1), 2)[0]
    np.testing.assert_array_equal(again.predict(clips, verbose=0), model.predict(clips, verbose=0))


def test_cells_that_are_not_known_do_not_count() -> None:
    random = np.random.default_rng(0)
    cells = random.normal(size=(4, 3, 3, 1)).astype(np.float32)
    masks = random.random((1, 4, 3, 3)).astype(np.float32)
    masks[0, 2:] = -1
    z, y = cells[:2, ..., 0], masks[0, :2]
    by_hand = np.mean(np.log1p(np.exp(z)) - y * z)
    assert float(mask_loss(masks, cells)) == pytest.approx(by_hand, rel=1e-5)
    assert float(mask_loss(np.full_like(masks, -1), cells)) == 0


@pytest.mark.parametrize("network", ["frames", "ddl"])
def test_by_map_nothing_else_decides(network: str) -> None:
    asked = config(network=network, modules=["dfdc"], stages=["stage4"], by_map=True)
    model = build(asked)
    assert not any(layer.name.startswith("block15") for layer in model.layers)  # not needed
    view = with_inconsistency_map(model)
    clips = batch(np.random.default_rng(2), 3)[0]
    head = model.get_layer(LAYER)
    drawn = np.random.default_rng(0).normal(0, 3, head.get_weights()[0].shape)
    head.set_weights([drawn, np.zeros(1)])
    logits, shown = (part.numpy().astype(float) for part in view(clips, training=False))
    cells = np.log(shown / (1 - shown)).reshape(3, 4, -1)
    mean = shown.reshape(3, 4, -1).mean(-1)
    found = np.stack([np.log(mean / (1 - mean)), cells.max(-1)], -1)  # (B, T, 2)
    last = next(layer for layer in model.layers if layer.name.startswith("map_"))
    kernel, bias = last.get_weights()
    if network == "ddl":
        expected = found.mean(1) @ kernel + bias
    else:  # the frames' probabilities are averaged
        each = found @ kernel + bias
        odds = each - np.logaddexp(each[..., :1], each[..., 1:])
        expected = np.log(np.exp(odds).mean(1))
    np.testing.assert_allclose(logits, expected, atol=1e-3)


@pytest.mark.parametrize("network", ["frames", "ddl"])
def test_the_map_is_the_heads_and_part_of_the_decision(network: str) -> None:
    asked = config(network=network, modules=["dfdc"], stages=["stage4"])
    model = build(asked)
    view = with_inconsistency_map(model)
    clips = batch(np.random.default_rng(2), 2)[0]
    logits, shown = view(clips, training=False)
    assert shown.shape == (2, 4, 4, 4)
    np.testing.assert_allclose(shown, 1 / (1 + np.exp(2)), rtol=1e-5)  # as it starts
    head = model.get_layer(LAYER)
    head.set_weights([head.get_weights()[0], np.array([3.0], np.float32)])
    after, shown = view(clips, training=False)
    np.testing.assert_allclose(shown, 1 / (1 + np.exp(-3)), rtol=1e-5)
    assert np.abs(after - logits).max() > 1e-4


def test_an_unknown_stage_is_told_with_the_known_ones() -> None:
    with pytest.raises(UserError, match="localise must be one of stage2, stage3"):
        build(config(localise="stage9"))
    with pytest.raises(UserError, match="localise: expected nothing with the network meso4"):
        config(network="meso4")

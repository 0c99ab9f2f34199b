"""Training of a localisation head: the masks of fakes, beside the labels of clips."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf
from keras_ddl.networks.localise import LAYER, has_map

LOSS = "localise_loss"


class LocalisingModel(keras.Model):
    """A network whose training step also learns from masks; in all else the network itself.

    `fit` takes batches (clip, (label, masks)) or (clip, (label, masks), weights), see
    `TrainingClips.stream`. Loss and metrics are of the labels, as compiled; the masks'
    cross-entropy, over the cells that are known, is added and logged as `localise_loss`.
    """

    @property
    def metrics(self) -> list[Any]:
        return [*super().metrics, *(self._more() if hasattr(self, "_more") else ())]

    def train_step(self, data: Any) -> dict[str, Any]:
        clip, (label, masks), weights = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            logits, cells = self._both()(clip, training=True)
            loss = self.compiled_loss(label, logits, weights, regularization_losses=self.losses)
            of_masks = mask_loss(masks, cells)
            replicas = tf.distribute.get_strategy().num_replicas_in_sync
            total = loss + self._weight * of_masks / replicas
        self.optimizer.minimize(total, self.trainable_variables, tape=tape)
        self.compiled_metrics.update_state(label, logits, weights)
        self._more()[0].update_state(of_masks)
        return {metric.name: metric.result() for metric in self.metrics}


def localising(model: keras.Model, weight: float) -> keras.Model:
    """The same network, of the same layers, whose training step learns from masks too.

    Args:
        model: With a localisation head.
        weight: Of the masks' cross-entropy.
    """
    wrapped = LocalisingModel(model.inputs, model.outputs, name=model.name)
    both = keras.Model(model.inputs, [model.output, model.get_layer(LAYER).output])
    metrics = (keras.metrics.Mean(LOSS),)
    # Behind functions: Keras takes models and metrics among a model's attributes for parts of it,
    # and would count their weights among its own.
    wrapped._both, wrapped._more = lambda: both, lambda: metrics
    wrapped._weight = float(weight)
    return wrapped


def grid_of(model: keras.Model) -> int:
    """Cells along the side of a network's map; 0 without a localisation head."""
    return int(model.get_layer(LAYER).output_shape[1]) if has_map(model) else 0


def mask_loss(masks: Any, cells: Any) -> Any:
    """Mean cross-entropy of the cells that are known.

    Args:
        masks: float32 (B, T, h, w), the forged share, -1 where it is not known.
        cells: Logits (B·T, h, w, 1).
    """
    truth = tf.reshape(masks, tf.shape(cells))
    known = tf.cast(truth >= 0, tf.float32)
    each = tf.nn.sigmoid_cross_entropy_with_logits(
        tf.maximum(truth, 0.0), tf.cast(cells, tf.float32)
    )
    return tf.reduce_sum(known * each) / tf.maximum(tf.reduce_sum(known), 1.0)

"""ForgeryMap, ForgeryEvidence: the localisation head's answer, as a map and as two numbers."""

from __future__ import annotations

import math
from typing import Any

from keras_ddl.framework import keras, tf
from keras_ddl.layers.clip_io import OfFrames

LEAST = 1e-6  # keeps the logarithm finite


class ForgeryMap(OfFrames):
    """Probabilities of the cells, frames of a clip together.

    Args:
        frames: Frames per clip T, consecutive in the batch axis.

    Input shape: ``(batch·frames, height, width, 1)``, logits, or ``(batch·frames, 1, height,
        width)``: with one channel both lie alike in memory. Output shape: ``(batch, frames,
        height, width)`` in [0, 1], computed in float32 whatever the policy.
    """

    def call(self, inputs: Any) -> Any:
        sides = inputs.shape[1:]
        height, width = sides[:-1] if sides[-1] == 1 else sides[1:]
        share = tf.sigmoid(tf.cast(inputs, tf.float32))
        clips = tf.reshape(share, (-1, self.frames, height, width))
        return tf.cast(clips, self.compute_dtype)


class ForgeryEvidence(keras.layers.Layer):
    """How much of a frame is forged, and how surely any of it is, as log-odds.

    Input shape: ``(batch·frames, height, width, 1)`` or ``(batch·frames, 1, height, width)``,
    logits of the cells. Output shape: ``(batch·frames, 2)``: log-odds of the mean probability, and
    the highest logit; computed in float32 whatever the policy.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    def call(self, inputs: Any) -> Any:
        _, *sides = inputs.shape
        cells = tf.reshape(tf.cast(inputs, tf.float32), (-1, math.prod(sides)))
        mean = tf.reduce_mean(tf.sigmoid(cells), -1, keepdims=True)
        odds = tf.math.log(mean + LEAST) - tf.math.log(1 - mean + LEAST)
        found = tf.concat([odds, tf.reduce_max(cells, -1, keepdims=True)], -1)
        return tf.cast(found, self.compute_dtype)

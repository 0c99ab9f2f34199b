"""ForgeryMap: the localisation head's answer as a map of each frame."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import tf
from keras_ddl.layers.clip_io import OfFrames


class ForgeryMap(OfFrames):
    """Probabilities of the cells, frames of a clip together.

    Args:
        frames: Frames per clip T, consecutive in the batch axis.

    Input shape: ``(batch·frames, height, width, 1)``, logits, or ``(batch·frames, 1, height,
        width)``: with one channel both lie alike in memory. Output shape: ``(batch, frames,
        height, width)``, float32 in [0, 1].
    """

    def call(self, inputs: Any) -> Any:
        sides = inputs.shape[1:]
        height, width = sides[:-1] if sides[-1] == 1 else sides[1:]
        share = tf.sigmoid(tf.cast(inputs, tf.float32))
        return tf.reshape(share, (-1, self.frames, height, width))

"""FramesMean: a clip's prediction from its frames'."""

from __future__ import annotations

import math
from typing import Any

from keras_ddl.framework import tf
from keras_ddl.layers.clip_io import OfFrames


class FramesMean(OfFrames):
    """The mean of the frames' predictions, as logits.

    What is averaged are the frames' probabilities, as evaluations of frame networks do: the result
    is ``log mean_t softmax(logits_t)``, whose softmax is that mean. It is computed in float32
    whatever the policy, and without leaving the logarithm, so that sure frames keep their digits.

    Args:
        frames: Frames per clip T, consecutive in the batch axis.

    Input shape: ``(batch·frames, classes)``, logits of frames. Output shape: ``(batch, classes)``,
        at most 0.
    """

    def call(self, inputs: Any) -> Any:
        clips = tf.reshape(inputs, (-1, self.frames, inputs.shape[-1]))  # (B, T, classes)
        logs = tf.nn.log_softmax(tf.cast(clips, tf.float32), -1)
        mean = tf.reduce_logsumexp(logs, 1) - math.log(self.frames)
        return tf.cast(mean, self.compute_dtype)

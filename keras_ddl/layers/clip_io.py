"""The layers around a frame network: from clips to frames, and from frames back to clips."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf


class ClipToFrames(keras.layers.Layer):
    """Raw clip to scaled frames: ``uint8 · scale + offset``, frames of a clip consecutive in the
    batch.

    Scaling lives in the graph so that nothing outside it ever normalises anything.

    Args:
        scale, offset: Applied to the raw 0…255 values.

    Input shape: ``(batch, frames, height, width, 3)``, uint8 RGB (any numeric type is accepted).
    Output shape: ``(batch·frames, height, width, 3)`` in the compute dtype.
    """

    def __init__(self, scale: float = 1 / 255, offset: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale, self.offset = scale, offset
        self._autocast = False

    def call(self, clip: Any) -> Any:
        return tf.cast(self._folded(clip), self.compute_dtype) * self.scale + self.offset

    def _folded(self, clip: Any) -> Any:
        """The clip's frames in the batch axis, their numbers as they came."""
        shape = tf.shape(clip)
        height, width, channels = clip.shape[2], clip.shape[3], clip.shape[4]
        size = (shape[2] if height is None else height, shape[3] if width is None else width)
        return tf.reshape(clip, (-1, *size, channels))  # (B·T, H, W, 3)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}


class OfFrames(keras.layers.Layer):
    """A layer of folded clips: the `frames` frames of each are consecutive in the batch axis."""

    def __init__(self, frames: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.frames = frames

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "frames": self.frames}


class FramesToChannels(OfFrames):
    """The T frames' channels side by side, frame-major: channel ``t·C + c`` is channel c of frame
    t.

    Args:
        frames: Frames per clip.

    Input shape: ``(batch·frames, height, width, C)``. Output shape: ``(batch, height, width,
        frames·C)``.
    """

    def call(self, inputs: Any) -> Any:
        _, height, width, channels = inputs.shape
        clips = tf.reshape(inputs, (-1, self.frames, height, width, channels))  # (B, T, H, W, C)
        clips = tf.transpose(clips, (0, 2, 3, 1, 4))  # (B, H, W, T, C)
        return tf.reshape(clips, (-1, height, width, self.frames * channels))


class FramesToClip(OfFrames):
    """Gives the frames of a clip an axis of their own, for layers that run along time.

    Args:
        frames: Frames per clip T.

    Input shape: ``(batch·frames, …)``. Output shape: ``(batch, frames, …)``.
    """

    def call(self, inputs: Any) -> Any:
        return tf.reshape(inputs, (-1, self.frames, *inputs.shape[1:]))  # (B, T, …)

"""TemporalContrast: a start for the fusion of frames that sees change at once."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf
from keras_ddl.layers.checks import check_frames


class TemporalContrast(keras.initializers.Initializer):
    """He-normal, with zero sum over the frames for half of the filters.

    The kernel of a 1×1 convolution over the T frames' channels side by side. From an ordinary
    random start every filter is dominated by what the frames share, the face, and learning to
    cancel it takes thousands of steps; a filter whose weights sum to zero over the frames answers
    to change alone, and the batch norm behind it brings that answer to unit variance. Only where
    training starts; what can be learnt, and loaded weights, are the same.

    Args:
        frames: Frames per clip T.
        seed: Of the random values; None draws one.
    """

    def __init__(self, frames: int, seed: int | None = None) -> None:
        check_frames("TemporalContrast", frames)
        self.frames, self.seed = frames, seed

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """Kernel ``(1, 1, T·C, filters)``; ValueError where the input is not a multiple of T."""
        height, width, channels, filters = shape
        if channels % self.frames:
            raise ValueError(
                f"TemporalContrast: expected a multiple of frames = {self.frames} input channels; "
                f"got {channels}"
            )
        kernel = keras.initializers.HeNormal(self.seed)(shape, dtype=dtype)
        by_frame = tf.reshape(kernel, (height, width, self.frames, -1, filters))
        contrast = by_frame - tf.reduce_mean(by_frame, axis=2, keepdims=True)
        is_contrast = tf.cast(tf.range(filters) < filters // 2, kernel.dtype)
        mixed = by_frame + (contrast - by_frame) * is_contrast
        return tf.reshape(mixed, shape)

    def get_config(self) -> dict[str, Any]:
        return {"frames": self.frames, "seed": self.seed}

"""Shapes of batches of images, and the reshape that gives the frames an axis of their own."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import tf


def extent(x: Any, data_format: str) -> tuple[Any, Any]:
    """Height and width of a batch of images: numbers where known, scalar tensors where not."""
    first = 2 if data_format == "channels_first" else 1
    dynamic = tf.shape(x)
    height, width = (
        dynamic[axis] if x.shape[axis] is None else x.shape[axis] for axis in (first, first + 1)
    )
    return height, width


def any_images(channels: int, data_format: str) -> tuple[int | None, ...]:
    """Shape of images of so many channels, the rest unknown."""
    first = data_format == "channels_first"
    return (None, channels, None, None) if first else (None, None, None, channels)


def image_shape(x: Any) -> list[Any]:
    """Shape to give a batch of images back: −1 for the batch, numbers where known, else tensors.

    Runtimes fuse and plan by what a graph says of its shapes, so what is known must stay visible.
    """
    dynamic = tf.shape(x)
    known = [dynamic[axis] if size is None else size for axis, size in enumerate(x.shape)]
    return [-1, *known[1:]]


def fold_clips(x: Any, frames: int, data_format: str) -> Any:
    """Give the frames of a clip an axis of their own and lay the positions in a row; moves no data.

    Args:
        x: ``(B·T, H, W, C)``, or ``(B·T, C, H, W)`` for ``channels_first``.
        frames: T.
        data_format: Layout of `x`.

    Returns:
        ``(B, T, H·W, C)``, or ``(B, T, C, H·W)`` for ``channels_first``.
    """
    height, width = extent(x, data_format)
    if data_format == "channels_first":
        return tf.reshape(x, (-1, frames, x.shape[1], height * width))
    return tf.reshape(x, (-1, frames, height * width, x.shape[3]))

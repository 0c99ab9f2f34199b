"""Augmentation of a clip: one draw for all its frames, so that time stays as it was."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_ddl.data.augment_rules import Augment

if TYPE_CHECKING:
    from keras_ddl.framework import tf

LUMA = (0.299, 0.587, 0.114)


def augment_clip(clip: tf.Tensor, seed: tf.Tensor, rules: Augment) -> tf.Tensor:
    """Change a clip at random, every frame in the same way.

    In the order in which a camera and a network would: place, light, optics, sensor, compression,
    and at last what covers the face.

    Args:
        clip: uint8, (T, S, S, 3).
        seed: int32, (2,). Equal seeds give equal changes.
        rules: How far.

    Returns:
        uint8, (T, S, S, 3).
    """
    from keras_ddl.framework import tf

    clip, draw = place(clip, seed, rules), _draw(seed)
    if rules.brightness or rules.contrast or rules.saturation:
        values = tf.cast(clip, tf.float32)
        if rules.saturation:
            grey = tf.reduce_sum(values * tf.constant(LUMA), -1, keepdims=True)
            amount = 1 + rules.saturation * tf.random.stateless_uniform([], seed + 1, -1.0, 1.0)
            values = grey + (values - grey) * amount
        mean = tf.reduce_mean(values)
        values = (values - mean) * (1 + rules.contrast * draw[3]) + mean
        values += 255 * rules.brightness * draw[4]
        clip = _to_bytes(values)
    steps = ((rules.blur, _blurred), (rules.noise, _noisy), (rules.jpeg, _jpeg))
    for number, (share, change) in enumerate((*steps, (rules.h264, _h264), (rules.cutout, _cut))):
        if share:
            clip = _sometimes(clip, seed + 2 + number, share, change)
    return clip


def place(clip: tf.Tensor, seed: tf.Tensor, rules: Augment) -> tf.Tensor:
    """Mirror, enlarge and move a clip, or its masks, uint8 (T, S, S, 1), as `augment_clip` does."""
    from keras_ddl.framework import tf

    draw = _draw(seed)
    if rules.flip:
        clip = tf.cond(draw[0] < 0, lambda: tf.reverse(clip, [2]), lambda: clip)
    if rules.zoom:
        clip = _zoomed(clip, 1 + rules.zoom * tf.abs(draw[5]))
    pad = round(rules.shift * clip.shape[1])
    return _shifted(clip, draw[1:3], pad) if pad else clip


def _draw(seed: tf.Tensor) -> tf.Tensor:
    from keras_ddl.framework import tf

    return tf.random.stateless_uniform([6], seed, -1.0, 1.0)


def _sometimes(clip: tf.Tensor, seed: tf.Tensor, share: float, change: Any) -> tf.Tensor:
    """Apply a change to a share of the clips."""
    from keras_ddl.framework import tf

    draw = tf.random.stateless_uniform([4], seed, 0.0, 1.0)
    changed = tf.cond(draw[0] < share, lambda: change(clip, draw[1:], seed), lambda: clip)
    return tf.ensure_shape(changed, clip.shape)


def _zoomed(clip: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Enlarge around the middle and cut back to size."""
    from keras_ddl.framework import tf

    side = clip.shape[1]
    wide = tf.cast(tf.round(side * factor), tf.int32)
    large = tf.image.resize(clip, (wide, wide), "bicubic")
    start = (wide - side) // 2
    return tf.ensure_shape(
        _to_bytes(large[:, start : start + side, start : start + side]), clip.shape
    )


def _shifted(clip: tf.Tensor, draw: tf.Tensor, pad: int) -> tf.Tensor:
    """Move a clip by up to `pad` pixels, in both directions at once."""
    from keras_ddl.framework import tf

    shape = clip.shape
    padded = tf.pad(clip, [[0, 0], [pad, pad], [pad, pad], [0, 0]], mode="SYMMETRIC")
    offset = tf.cast(tf.round(pad * (1 + draw)), tf.int32)  # 0 … 2·pad
    moved = tf.slice(padded, [0, offset[0], offset[1], 0], shape)
    return tf.ensure_shape(moved, shape)


def _blurred(clip: tf.Tensor, draw: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """A Gaussian of 9 taps in either direction."""
    from keras_ddl.framework import tf

    sigma = 0.3 + 1.2 * draw[0]
    taps = tf.exp(-(tf.range(-4.0, 5.0) ** 2) / (2 * sigma**2))
    taps = taps / tf.reduce_sum(taps)
    values = tf.pad(tf.cast(clip, tf.float32), [[0, 0], [4, 4], [4, 4], [0, 0]], "SYMMETRIC")
    for shape in ((9, 1, 1, 1), (1, 9, 1, 1)):
        kernel = tf.tile(tf.reshape(taps, shape), (1, 1, 3, 1))
        values = tf.nn.depthwise_conv2d(values, kernel, [1] * 4, "VALID")
    return _to_bytes(values)


def _noisy(clip: tf.Tensor, draw: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    from keras_ddl.framework import tf

    pattern = tf.random.stateless_normal(clip.shape[1:], seed, stddev=8 * draw[0])
    return _to_bytes(tf.cast(clip, tf.float32) + pattern)


def _jpeg(clip: tf.Tensor, draw: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    from keras_ddl.framework import tf

    quality = 40 + tf.cast(55 * draw[0], tf.int32)
    frames = [tf.image.adjust_jpeg_quality(frame, quality) for frame in tf.unstack(clip)]
    return tf.stack(frames)


def _h264(clip: tf.Tensor, draw: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    from keras_ddl.framework import tf

    crf = 18 + tf.cast(20 * draw[0], tf.int32)
    return tf.numpy_function(recompress, [clip, crf], tf.uint8, stateful=False)


def _cut(clip: tf.Tensor, draw: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    from keras_ddl.framework import tf

    side = clip.shape[1]
    length = side * (0.1 + 0.4 * draw[0])
    place = tf.range(side, dtype=tf.float32)

    def within(start: tf.Tensor) -> tf.Tensor:
        return (place >= start) & (place < start + length)

    rows, columns = within(draw[1] * (side - length)), within(draw[2] * (side - length))
    hidden = rows[:, None, None] & columns[None, :, None]
    return tf.where(hidden, tf.constant(128, tf.uint8), clip)


def _to_bytes(values: tf.Tensor) -> tf.Tensor:
    from keras_ddl.framework import tf

    return tf.saturate_cast(tf.round(values), tf.uint8)


# x264's fastest routines choose by what happens to lie in memory (seen with AVX-512 at 32 and
# 96 px: one clip gave up to eight results); those that all processors have do not.
_SAME = {"x264-params": "cpu-independent=1"}


def recompress(clip: np.ndarray, crf: Any) -> np.ndarray:
    """Encode a clip as H.264 (4:2:0, one thread) and decode it again.

    Args:
        clip: uint8, (T, H, W, 3), RGB. An odd side gets its last row or column twice for the
            encoder, whose chroma is half as wide and high, and loses it again.
        crf: Constant rate factor, 0 (nearly lossless) to 51.

    Returns:
        uint8, (T, H, W, 3).
    """
    import av

    height, width = clip.shape[1:3]
    even = np.pad(clip, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width = even.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(int(crf)), "preset": "veryfast", "threads": "1", **_SAME}
        for image in even:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames)[:, :height, :width]

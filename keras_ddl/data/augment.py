"""Augmentation of a clip: one draw for all its frames, so that time stays as it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from keras_ddl.framework import tf


@dataclass(frozen=True)
class Augment:
    """How far a clip may be changed; zero and False leave it alone.

    Args:
        flip: Mirror left and right, half of the time.
        brightness: Largest shift of brightness, share of the full range.
        contrast: Largest relative change of contrast, around the clip's mean.
        shift: Largest shift of the crop in either direction, share of its side. Whole pixels, the
            border mirrored: no interpolation that would smooth traces away.
    """

    flip: bool = True
    brightness: float = 0.1
    contrast: float = 0.1
    shift: float = 0.03


def augment_clip(clip: tf.Tensor, seed: tf.Tensor, rules: Augment) -> tf.Tensor:
    """Change a clip at random, every frame in the same way.

    Args:
        clip: uint8, (T, S, S, 3).
        seed: int32, (2,). Equal seeds give equal changes.
        rules: How far.

    Returns:
        uint8, (T, S, S, 3).
    """
    from keras_ddl.framework import tf

    draw = tf.random.stateless_uniform([5], seed, -1.0, 1.0)
    if rules.flip:
        clip = tf.cond(draw[0] < 0, lambda: tf.reverse(clip, [2]), lambda: clip)
    pad = round(rules.shift * clip.shape[1])
    if pad:
        clip = _shifted(clip, draw[1:3], pad)
    if rules.brightness or rules.contrast:
        values = tf.cast(clip, tf.float32)
        mean = tf.reduce_mean(values)
        values = (values - mean) * (1 + rules.contrast * draw[3]) + mean
        values += 255 * rules.brightness * draw[4]
        clip = tf.saturate_cast(tf.round(values), tf.uint8)
    return clip


def _shifted(clip: tf.Tensor, draw: tf.Tensor, pad: int) -> tf.Tensor:
    """Move a clip by up to `pad` pixels, in both directions at once."""
    from keras_ddl.framework import tf

    shape = clip.shape
    padded = tf.pad(clip, [[0, 0], [pad, pad], [pad, pad], [0, 0]], mode="SYMMETRIC")
    offset = tf.cast(tf.round(pad * (1 + draw)), tf.int32)  # 0 … 2·pad
    moved = tf.slice(padded, [0, offset[0], offset[1], 0], shape)
    return tf.ensure_shape(moved, shape)

"""F3-Net, frame by frame: two Xceptions, on bands of an image's spectrum and on local statistics.

Source: Qian et al., "Thinking in Frequency: Face Forgery Detection by Mining Frequency-aware
Clues", ECCV 2020; no official code. Public: both views of the frequencies, see `frequencies`, a
first kernel that is ImageNet's, repeated and divided, cross-attention after blocks 7 and 12
(here 8 and 13: Keras counts from the stem), 4096 features, dropout 0.2. A public
re-implementation, without the cross-attention, reports the second stream below the paper.

Its training is not known to us well enough to repeat; here Adam at Xception's 2e-4. Our choice: how
the two streams attend to each other, see `CrossAttention`; the second stream's first convolution
leaves the half-size map its size, with padding; a batch of 4 clips of 8 frames; the frames'
predictions are averaged.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras
from keras_ddl.networks.backbones.backbone import require_size
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.cross_attention import CrossAttention
from keras_ddl.networks.zoo.parts.frame_network import clip_frames, frame_judge
from keras_ddl.networks.zoo.parts.frequencies import FAD, LFS
from keras_ddl.networks.zoo.parts.xception_blocks import XceptionBlocks, start_streams

PARTS = ((2, 8), (9, 13))  # of both streams, each followed by cross-attention
DROPOUT = 0.2

METHOD = Method(
    title="F3-Net",
    temporal=False,
    source="Qian et al. 2020; optimiser, rate and batch are ours, as for Xception",
    values={
        "weights": "imagenet",
        "size": 299,
        "batch": 4,
        "learning_rate": 2e-4,
        "halve_every": 0,
    },
)


def build(size: int = 299, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """A frame network under an average; size at least 32, weights for both streams."""
    require_size("f3net", size)
    bands, local = XceptionBlocks("fad_", width), XceptionBlocks("lfs_", width)
    # float32, as the frequencies are: in float16 a spectrum would be one of rounding
    clip, image = clip_frames(size, frames, 1 / 127.5, -1.0, dtype="float32")
    x = bands.convolution(FAD(name="fad")(image), 1)
    y = local.convolution(LFS(name="lfs")(image), 1, stride=1, padding="same")
    x, y = bands.convolution(x, 2), local.convolution(y, 2)
    for first, last in PARTS:
        x, y = bands.blocks(x, first, last), local.blocks(y, first, last)
        x, y = CrossAttention(name=f"mix{last}")([x, y])
    x, y = bands.blocks(x, 14, 14), local.blocks(y, 14, 14)
    x = keras.layers.Concatenate(name="features")([x, y])  # (B·T, h, w, 4096)
    x = keras.layers.GlobalAveragePooling2D(name="pooled")(x)
    x = keras.layers.Dropout(DROPOUT, name="dropout")(x)
    model = frame_judge("f3net", clip, x, frames)
    start_streams(model, (bands, local), weights)
    return model

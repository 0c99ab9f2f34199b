"""ShallowNet, frame by frame: a small CNN made for generated faces.

Source: Tariq et al., "Detecting Both Machine and Human Created Fake Face Images In the Wild", MPS
2018, version 3 of shahroztariq/ShallowNet: 128 px, values in [0, 1], no padding, Adam at 5e-5, 50
epochs.

Original: two sigmoids under binary cross-entropy, L2 of 1e-4 on all kernels; here one softmax of
two classes and no L2, as in every training of this project. Our choice: a batch of 4 clips of 8
frames; the frames' predictions are averaged.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras
from keras_ddl.layers import ClipToFrames, FramesMean
from keras_ddl.networks.backbones.backbone import scaled
from keras_ddl.networks.zoo.method import Method
from keras_ddl.presets import Preset

MINIMUM_SIZE = 32
DROPOUT = 0.25
# Per block: channels and kernel of each convolution; all but the last end in pooling.
BLOCKS = (
    ((32, 5), (32, 1), (32, 1)),
    ((64, 3), (64, 1), (64, 1)),
    ((128, 3), (32, 1)),
)
UNITS = 1024

METHOD = Method(
    title="ShallowNet",
    row="ShallowNet",
    temporal=False,
    preset=Preset(
        source="Tariq et al. 2018 and their code; the batch is ours",
        values={
            "network": "shallownet",
            "size": 128,
            "batch": 4,
            "learning_rate": 5e-5,
            "halve_every": 0,
            "epochs": 50,
        },
    ),
)


def build(size: int = 128, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """A frame network under an average.

    Args:
        size: Side of the crops in pixels, at least 32.
        weights: None.

    Raises:
        ValueError: weights other than None, size below 32.
    """
    if weights is not None:
        raise ValueError(
            f"shallownet has no trained weights; got {weights!r}; set weights= to nothing"
        )
    if size < MINIMUM_SIZE:
        raise ValueError(f"shallownet needs a size of at least {MINIMUM_SIZE}; got {size}")
    clip = keras.Input((frames, size, size, 3), dtype="uint8", name="clip")
    x = ClipToFrames(name="clip_to_frames")(clip)
    for number, block in enumerate(BLOCKS, 1):
        for part, (channels, kernel) in enumerate(block, 1):
            name = f"block{number}_conv{part}"
            x = keras.layers.Conv2D(scaled(channels, width), kernel, activation="relu", name=name)(
                x
            )
            if part == len(block) and number < len(BLOCKS):
                x = keras.layers.MaxPooling2D(name=f"block{number}_pool")(x)
            x = keras.layers.Dropout(DROPOUT, name=f"{name}_dropout")(x)
    x = keras.layers.Flatten(name="flatten")(x)
    x = keras.layers.Dense(scaled(UNITS, width), activation="relu", name="dense")(x)
    x = keras.layers.BatchNormalization(name="dense_bn")(x)
    x = keras.layers.Dropout(DROPOUT, name="dense_dropout")(x)
    x = keras.layers.Dense(2, dtype="float32", name="frame_logits")(x)
    logits = FramesMean(frames, dtype="float32", name="logits")(x)
    return keras.Model(clip, logits, name="shallownet")

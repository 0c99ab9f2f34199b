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
from keras_ddl.networks.backbones.backbone import require_size, scaled
from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.frame_network import clip_frames, frame_judge

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
    temporal=False,
    source="Tariq et al. 2018 and their code; the batch is ours",
    values={
        "size": 128,
        "batch": 4,
        "learning_rate": 5e-5,
        "halve_every": 0,
        "epochs": 50,
    },
)


def build(size: int = 128, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """A frame network under an average; size at least 32, weights None."""
    if weights is not None:
        raise ValueError(
            f"shallownet has no trained weights; got {weights!r}; set weights= to nothing"
        )
    require_size("shallownet", size)
    clip, x = clip_frames(size, frames)
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
    return frame_judge("shallownet", clip, x, frames)

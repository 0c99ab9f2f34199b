"""Meso4, frame by frame: MesoNet's network of four convolutions.

Source: Afchar et al., "MesoNet: a Compact Facial Video Forgery Detection Network", WIFS 2018, and
DariusAf/MesoNet: 256 px, RGB in [0, 1], Adam at 1e-3, 28,073 parameters, of which 96 are statistics
of batch norm. The authors' weights become a run with ``python -m keras_ddl.import_mesonet``.

Original: mean squared error of one sigmoid, which is P(real); here cross-entropy of the two
classes. Our choice: a steady rate, a batch of 9 clips of 8 frames; the frames' predictions are
averaged.
"""

from __future__ import annotations

from typing import Any

from keras_ddl.networks.zoo.method import Method
from keras_ddl.networks.zoo.parts.meso_parts import SOURCE, TRAINING, convolution, meso_network

METHOD = Method(
    title="Meso4",
    row="MesoNet",
    temporal=False,
    source=SOURCE,
    values=TRAINING,
)


def build(size: int = 256, frames: int = 8, weights: str | None = None, width: float = 1.0) -> Any:
    """A frame network under an average; size at least 32.

    Its weights are one of the authors' files, which are for 256 px and width 1.
    """
    first = (convolution(8, 3, width), convolution(8, 5, width))
    return meso_network("meso4", first, size, frames, weights, width)

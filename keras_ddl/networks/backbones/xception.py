"""xception: the full Xception of Keras' applications."""

from __future__ import annotations

from pathlib import Path

from keras_ddl.edge.errors import MISSING, UserError
from keras_ddl.framework import keras
from keras_ddl.networks.backbones.backbone import Backbone, require_size
from keras_ddl.networks.extend import producer

RESIDUAL_BLOCKS = range(2, 14)  # block 1 is the stem, block 14 has no residual


def build(size: int = 299, weights: str | None = None, width: float = 1.0) -> Backbone:
    """Xception, frame by frame: ``(N, S, S, 3)`` in [−1, 1] → ``(N, ~S/32, ~S/32, 2048)``.

    The modules come before each of the twelve residual blocks: three of the entry flow and one of
    the exit flow (the paper's down-sampling phase), eight of the middle flow (feature extraction).

    Args:
        size: Frame side in pixels, at least 71.
        weights: None, ``"imagenet"`` (fetched by Keras on first use) or the path of a weights file.
        width: Only 1.

    Raises:
        ValueError: size below 71, width other than 1.
        UserError: the weights cannot be had.
    """
    require_size("xception", size, 71)
    if width != 1.0:
        raise ValueError(f"xception has one width, 1; got {width}; compact_xception has others")
    if weights not in (None, "imagenet") and not Path(weights).is_file():
        raise UserError(
            f"no weights file {weights}; expected None, 'imagenet' or the path of a file"
        )
    try:
        cnn = keras.applications.Xception(
            include_top=False, weights=weights, input_shape=(size, size, 3)
        )
    except Exception as error:  # Keras raises a plain Exception where a download fails
        cause = str(error).splitlines()[0]
        raise UserError(
            f"Xception weights {weights!r} could not be loaded: {cause}", MISSING
        ) from error
    stages = {
        f"block{number}": producer(cnn, f"block{number}_sepconv1{'_act' if number > 2 else ''}")
        for number in RESIDUAL_BLOCKS
    }
    return Backbone(cnn, stages, scale=1 / 127.5, offset=-1.0)

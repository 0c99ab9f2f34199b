"""The one place that chooses a Keras, before TensorFlow is imported.

The project is built on `tf_keras` (Keras 2): tensorflow-model-optimization wraps only its layers.
The layers in `keras_ddl.layers` use nothing that Keras 3 lacks; to drop them into a Keras 3 network
set ``KERAS_DDL_KERAS=keras`` before the first import.
"""

from __future__ import annotations

import logging
import os

from keras_ddl.errors import MISSING, UserError

_CHOICES = ("tf_keras", "keras")
_choice = os.environ.get("KERAS_DDL_KERAS", "tf_keras")
if _choice not in _CHOICES:
    raise UserError(
        f"KERAS_DDL_KERAS must be one of {', '.join(_CHOICES)}; got {_choice!r}; "
        "unset it for tf_keras"
    )

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if _choice == "tf_keras":
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

try:
    import tensorflow as tf

    if _choice == "tf_keras":
        import tf_keras as keras
    else:
        import keras
except ImportError as error:
    raise UserError(
        f"this command needs TensorFlow and {_choice} ({error}); "
        "install them with: pip install 'keras-ddl[train]'",
        MISSING,
    ) from error

for _name in ("tensorflow", "absl"):  # their notes are not this program's
    logging.getLogger(_name).setLevel(logging.WARNING)

__all__ = ["keras", "tf"]

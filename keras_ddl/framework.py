"""TensorFlow and the Keras that goes with it, chosen before TensorFlow is imported.

A process has one: `tf_keras` (Keras 2), or Keras 3 where ``KERAS_DDL_KERAS=keras`` stands in the
environment before the first import. Layers, `build_model` and `extend` are written in the interface
that both share, give the same numbers and read each other's weights; training, quantisation and
export need Keras 2 (tensorflow-model-optimization wraps only its layers).

TensorFlow's own start-up lines are left out of stderr, warnings and errors are not;
``TF_CPP_MIN_LOG_LEVEL=0`` shows everything.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from keras_ddl.edge.errors import MISSING, UserError

_CHOICES = ("tf_keras", "keras")
_choice = os.environ.get("KERAS_DDL_KERAS", "tf_keras")
if _choice not in _CHOICES:
    raise UserError(
        f"KERAS_DDL_KERAS must be one of {', '.join(_CHOICES)}; got {_choice!r}; "
        "unset it for tf_keras"
    )

_SAYS_NOTHING = re.compile(
    rb"^WARNING: All log messages before absl::InitializeLog"
    rb"|^I\d{4} |^\d{4}-[-\d]+ [:.\d]+: I "  # information, in both of TensorFlow's formats
    rb"|factory for plugin \w+ when one has already been registered"
    rb"|computation placer already registered"
    rb"|TF-TRT Warning: Could not find TensorRT"
    rb"|failed call to cuInit: .*(\(303\)|CUDA_ERROR_NO_DEVICE)"  # no driver, or no GPU
)


@contextmanager
def held_stderr(dropped: re.Pattern[bytes]) -> Iterator[None]:
    """Hold back file descriptor 2; then, also after an error, write what came, in order.

    C++ code writes there past Python and, before its logging is set up, past its log level.

    Args:
        dropped: Lines in which this is found are not written.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        saved = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(saved, 2)
            os.close(saved)
            held.seek(0)
            for line in held:
                if not dropped.search(line):
                    os.write(2, line)


_all_shown = os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "1") == "0"
if _choice == "tf_keras":
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

# TensorFlow keeps the memory it frees. As it is, every step of a training asks the system anew for
# all of it and clears it page by page, which takes as long as the step's arithmetic.
os.environ.setdefault("TF_CPU_ALLOCATOR_USE_BFC", "true")

try:
    with nullcontext() if _all_shown else held_stderr(_SAYS_NOTHING):
        import tensorflow as tf

        if _choice == "tf_keras":
            import tf_keras as keras
        else:
            import keras
        tf.config.list_physical_devices()  # looks for GPUs here, not at the first operation
except ImportError as error:
    raise UserError(
        f"this command needs TensorFlow and {_choice} ({error}); "
        "install them with: pip install 'keras-ddl[train]'",
        MISSING,
    ) from error

for _name in ("tensorflow", "absl"):  # their notes are not this program's
    logging.getLogger(_name).setLevel(logging.WARNING)

__all__ = ["keras", "need_keras_2", "tf"]


def need_keras_2(what: str) -> None:
    """Raise UserError where this process has Keras 3, with which `what` does not work."""
    if _choice != "tf_keras":
        raise UserError(
            f"{what} needs tf_keras (Keras 2); this process has Keras 3, for "
            f"KERAS_DDL_KERAS is {_choice}; unset it"
        )

"""QuantPoint: marks a place whose activation a quantised network rounds."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf


class QuantPoint(keras.layers.Layer):
    """The identity, with a name.

    Quantisation-aware training finds these layers by name and puts a quantiser in their place;
    until then they change nothing and cost nothing.

    Input shape: any. Output shape: the same.
    """

    def call(self, inputs: Any) -> Any:
        return tf.identity(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

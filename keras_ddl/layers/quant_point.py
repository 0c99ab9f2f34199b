"""QuantPoint: the quantiser of an activation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_ddl.framework import keras, tf


class QuantPoint(keras.layers.Layer):
    """The identity, with a name, until it is told a number of bits; then a quantiser.

    The quantiser is tensorflow-model-optimization's: symmetric, one range for the whole tensor, a
    moving average of what passes in training. Zero is exact and the range is ±127 steps, as
    TensorRT demands.

    Args:
        bits: 8, or None for the identity.

    Attributes:
        active: False rounds nothing for now; for eager calls.
        observer: Where set, it is shown every eager input.

    Input shape: any. Output shape: the same.
    """

    active = True
    observer: Callable[[Any], None] | None = None

    def __init__(self, bits: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.bits = bits

    def build(self, input_shape: Any) -> None:
        if self.bits:
            from tensorflow_model_optimization.python.core.quantization.keras import quantizers

            self._quantiser = quantizers.MovingAverageQuantizer(
                self.bits, per_axis=False, symmetric=True, narrow_range=True
            )
            self._range = self._quantiser.build(input_shape, "range", self)
        super().build(input_shape)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        if self.observer is not None:
            self.observer(inputs)
        if not self.bits or not self.active:
            return tf.identity(inputs)
        return self._quantise(inputs, bool(training))

    def _quantise(self, inputs: Any, training: bool) -> Any:
        """The input on its 255 steps; training widens or narrows the range."""
        return self._quantiser(inputs, training, self._range)

    @property
    def amax(self) -> float:
        """Largest magnitude that survives; one step is amax / 127."""
        return float(self._range["max_var"].numpy())

    @amax.setter
    def amax(self, value: float) -> None:
        self._range["min_var"].assign(-value)
        self._range["max_var"].assign(value)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bits": self.bits}

"""FrameConvLSTM: a convolutional LSTM over the frames of each clip, in few, large convolutions."""

from __future__ import annotations

from typing import Any

from keras_ddl.framework import keras, tf
from keras_ddl.layers.checks import check_input

PADDINGS = ("same", "valid")
DATA_FORMATS = ("channels_last", "channels_first")
GATES = 4  # input, forget, candidate, output: the order of Keras' kernels


@keras.utils.register_keras_serializable("keras_ddl")
class FrameConvLSTM(keras.layers.Layer):
    """`keras.layers.ConvLSTM2D` on folded frames: the same weights give the same numbers.

    Keras' own layer is a loop with eight convolutions per step, and a loop is what it exports as.
    What depends on the frames alone is here one convolution of all frames with all four gates; each
    step then adds one convolution of the state. Steps are laid out one after the other, the first
    without its product with the state, which is zero there.

    Args:
        filters: Channels F of state and output.
        kernel_size: Side of both kernels, pixels.
        frames: Frames per clip T, consecutive in the batch axis.
        strides: Of the convolution of the frames; the state's has 1.
        padding: `same` or `valid`, of the frames; the state is always padded to its own size.
        return_sequences: Give the state after every frame; False: after a clip's last one only.
        kernel_initializer: Of the frames' kernel; the state's is orthogonal, the forget gate's bias
            starts at 1 and the others' at 0.
        l2: Factor of the penalty on the squares of the frames' kernel, as Keras'
            `kernel_regularizer`.
        data_format: Layout of input and output.

    Input shape: ``(batch·frames, height, width, C)``, any values.
    Output shape: ``(batch·frames, height', width', F)``, or ``(batch, height', width', F)`` with
        ``return_sequences=False``; values in (−1, 1).

    Raises:
        ValueError: padding or data format unknown, input not of rank 4, its channels unknown, or a
            known batch that is no multiple of the frames.

    Reference: Shi et al., "Convolutional LSTM Network", NeurIPS 2015, equation 3, without the
        connections from the cell to the gates, as in Keras.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        frames: int = 8,
        strides: int = 1,
        padding: str = "same",
        return_sequences: bool = True,
        kernel_initializer: str = "glorot_uniform",
        l2: float = 0.0,
        data_format: str = "channels_last",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        choices = {"padding": (padding, PADDINGS), "data_format": (data_format, DATA_FORMATS)}
        for name, (given, known) in choices.items():
            if given not in known:
                raise ValueError(
                    f"FrameConvLSTM: {name} must be one of {', '.join(known)}; got {given!r}"
                )
        self.filters, self.kernel_size, self.frames = filters, kernel_size, frames
        self.strides, self.padding, self.return_sequences = strides, padding, return_sequences
        self.kernel_initializer, self.l2, self.data_format = kernel_initializer, l2, data_format

    @property
    def gives_clips(self) -> bool:
        """Whether one image leaves this layer for a clip, not one for a frame; see `cost`."""
        return not self.return_sequences

    def build(self, input_shape: Any) -> None:
        channels = check_input("FrameConvLSTM", input_shape, self.frames, 1, self.data_format)
        side, gates = (self.kernel_size, self.kernel_size), GATES * self.filters
        self.kernel = self.add_weight(
            name="kernel",
            shape=(*side, channels, gates),
            initializer=self.kernel_initializer,
            regularizer=keras.regularizers.L2(self.l2) if self.l2 else None,
        )
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(*side, self.filters, gates), initializer="orthogonal"
        )
        self.bias = self.add_weight(name="bias", shape=(gates,), initializer=_remembering)
        self._sides = self._image(self.compute_output_shape(input_shape))
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        gates = self._convolved(inputs, self.kernel, self.strides, self.padding)
        gates = tf.nn.bias_add(gates, self.bias, self._layout)  # (B·T, H', W', 4F)
        sizes = _sizes(gates)
        steps = tf.unstack(tf.reshape(gates, (-1, self.frames, *sizes)), self.frames, 1)
        # Read once: an exporter makes a constant of every reading, and drops the copies late.
        recurrent = tf.convert_to_tensor(self.recurrent_kernel)
        states, cell = [], None
        for step in steps:  # (B, H', W', 4F)
            if states:
                step += self._convolved(states[-1], recurrent, 1, "same")
            cell, state = self._step(step, cell)
            states.append(state)
        if not self.return_sequences:
            return states[-1]  # (B, H', W', F)
        states = tf.stack(states, 1)  # (B, T, H', W', F)
        return tf.reshape(states, (-1, *_sizes(states)[1:]))

    def _step(self, gates: Any, cell: Any) -> tuple[Any, Any]:
        """Cell and state after a frame, from the sums at its gates and the cell before it."""
        axis = 1 if self.data_format == "channels_first" else -1
        admit, keep, candidate, show = tf.split(gates, GATES, axis)
        fresh = _hard_sigmoid(admit) * tf.tanh(candidate)
        cell = fresh if cell is None else _hard_sigmoid(keep) * cell + fresh
        return cell, _hard_sigmoid(show) * tf.tanh(cell)

    @property
    def _layout(self) -> str:
        return "NCHW" if self.data_format == "channels_first" else "NHWC"

    def _convolved(self, images: Any, kernel: Any, strides: int, padding: str) -> Any:
        return tf.nn.conv2d(images, kernel, strides, padding.upper(), self._layout)

    def _image(self, shape: Any) -> tuple[int | None, int | None]:
        """Height and width of a shape in this layout."""
        return tuple(shape[2:] if self.data_format == "channels_first" else shape[1:3])

    def macs(self) -> int:
        """Multiply-accumulates per image of the input: the state's product is missing from one
        frame of each clip.
        """
        height, width = self._sides
        if height is None or width is None:
            raise ValueError(
                f"layer {self.name}: expected a known image size; got {height} × {width}; "
                "build the network with one"
            )
        channels = self.kernel.shape[2]
        summed = self.frames * channels + (self.frames - 1) * self.filters
        per_output = self.kernel_size**2 * summed * GATES * self.filters  # of a clip
        return height * width * per_output // self.frames

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        def convolved(size: int | None) -> int | None:
            inside = 0 if self.padding == "same" else self.kernel_size - 1
            return None if size is None else -(-(size - inside) // self.strides)

        sides = [convolved(size) for size in self._image(input_shape)]
        batch = input_shape[0]
        if batch is not None and self.gives_clips:
            batch //= self.frames
        if self.data_format == "channels_first":
            return (batch, self.filters, *sides)
        return (batch, *sides, self.filters)

    def get_config(self) -> dict[str, Any]:
        config = {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "frames": self.frames,
            "strides": self.strides,
            "padding": self.padding,
            "return_sequences": self.return_sequences,
            "kernel_initializer": self.kernel_initializer,
            "l2": self.l2,
            "data_format": self.data_format,
        }
        return {**super().get_config(), **config}


def _hard_sigmoid(x: Any) -> Any:
    """Keras 2's, which ConvLSTM2D has: a straight line from (−2.5, 0) to (2.5, 1)."""
    return tf.clip_by_value(0.2 * x + 0.5, 0.0, 1.0)


def _remembering(shape: Any, dtype: Any = None, **_: Any) -> Any:
    """Biases of four gates, those of the forget gate 1."""
    filters = shape[0] // GATES
    return tf.concat([tf.zeros(filters), tf.ones(filters), tf.zeros(2 * filters)], 0)


def _sizes(tensor: Any) -> tuple[Any, ...]:
    """All sizes but the first, each as a number where it is known."""
    shape = tf.shape(tensor)
    return tuple(shape[i] if n is None else n for i, n in enumerate(tensor.shape) if i)

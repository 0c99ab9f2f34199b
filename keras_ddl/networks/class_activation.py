"""ClassActivation: Grad-CAM as a layer, where nothing but means, dense layers and ReLU follow the
features.

There ∂m/∂A_k is known without a gradient: a product of the dense layers' weights and of masks, 1
where a ReLU let its value pass and 0 where not; over the number of cells, and where the frames'
predictions are averaged times a factor of each frame. So the map can leave with an exported graph,
in which gradients cannot.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from keras_ddl.edge.faces.map_kind import GRAD_CAM, MapKind
from keras_ddl.framework import keras, tf
from keras_ddl.networks.grad_cam import scaled
from keras_ddl.networks.keras_graph import KerasGraph, Node
from keras_ddl.networks.last_features import last_features
from keras_ddl.networks.model import map_kind

OVER_IMAGE, OVER_FRAMES, PREDICTIONS = "GlobalAveragePooling2D", "FramesToClip", "FramesMean"
DENSE, DROPOUT, OVER_TIME = "Dense", "Dropout", "GlobalAveragePooling1D"
CAPS = {"relu": math.inf, "relu6": 6.0}
"""Where an activation cuts off above; below each does so at 0."""


@dataclass(frozen=True)
class Head:
    """The layers behind a network's last features, whose derivative is known.

    Attributes:
        features: The layer that gives the last features.
        pool: The mean over the image.
        steps: The layers between it and the logits, in order.
        logits: The last dense layer.
        caps: Those of `steps` that cut off at 0, and where they do so above; of a linear head none.
        of_frames: Whether the features still know the frames.
        averages: Whether the logits are those of frames, whose predictions are averaged.
    """

    features: str
    pool: str
    steps: tuple[str, ...]
    logits: str
    caps: Mapping[str, float]
    of_frames: bool
    averages: bool


def known_head(model: Any) -> Head | None:
    """Find the head of a network of clips; None where it is of another kind."""
    try:
        features, graph = last_features(model), KerasGraph(model)
    except ValueError:  # no features, or none that can be found
        return None
    if len(features.path) > 1 or len(model.input_shape) != 5 or model.output_shape[1:] != (2,):
        return None
    readers, chain = graph.readers(), [graph.nodes[features.layer]]
    while len(chain[-1].calls) == 1 and len(readers.get(chain[-1].name, ())) == 1:
        chain.append(graph.nodes[readers[chain[-1].name][0]])
    if [end.layer for end in graph.ends] != [chain[-1].name] or len(chain[-1].calls) != 1:
        return None
    nodes = [node for node in chain[1:] if node.kind != DROPOUT]
    averages = bool(nodes) and nodes[-1].kind == PREDICTIONS
    if len(nodes) - averages < 2:
        return None
    pool, *steps, logits = nodes[: len(nodes) - averages]
    of_frames = averages or OVER_FRAMES in [step.kind for step in steps]
    if pool.kind != OVER_IMAGE or not _gives_logits(logits):
        return None
    if not all(_is_known(step) for step in steps) or not _joins(steps, not averages):
        return None
    names = tuple(step.name for step in steps)
    caps = {step.name: cap for step in steps if (cap := _cap(step)) is not None}
    return Head(features.layer, pool.name, names, logits.name, caps, of_frames, averages)


def _gives_logits(node: Node) -> bool:
    config = node.config
    return node.kind == DENSE and config["activation"] == "linear" and config["units"] == 2


def _joins(steps: list[Node], may_join: bool) -> bool:
    """Whether the frames are nowhere laid beside each other, or once and their mean taken there."""
    found = [step.kind for step in steps if step.kind in (OVER_FRAMES, OVER_TIME)]
    if not found:
        return True
    kinds = [step.kind for step in steps]
    at = kinds.index(OVER_FRAMES) if OVER_FRAMES in kinds else len(kinds)
    return may_join and len(found) == 2 and kinds[at + 1 : at + 2] == [OVER_TIME]


def _is_known(step: Node) -> bool:
    """Whether a layer has a derivative of a form known here."""
    if step.kind == DENSE:
        return step.config["activation"] == "linear" or _cap(step) is not None
    if step.kind in ("ReLU", "Activation"):
        return _cap(step) is not None
    return step.kind in ("BatchNormalization", OVER_FRAMES, OVER_TIME)


def _cap(step: Node) -> float | None:
    """Where a layer cuts off above if it does so at 0 below; None where it does not."""
    config = step.config
    if step.kind == "ReLU":
        plain = not config["negative_slope"] and not config["threshold"]
        return (config["max_value"] or math.inf) if plain else None
    activation = config.get("activation")
    return CAPS.get(activation) if isinstance(activation, str) else None


def graph_map_kind(model: Any) -> MapKind | None:
    """What the map of a network's exported graph is; None where it can have none.

    That is the network's own map where it has one, else Grad-CAM where its head is known.
    """
    own = map_kind(model)
    return GRAD_CAM if own is None and known_head(model) is not None else own


class ClassActivation(keras.layers.Layer):
    """The map of `GradCam`, of a network whose head is known.

    Args:
        steps: The head's layers up to the logits; shared with the network, not copied.
        head: Which they are.
        frames: Frames per clip T.
        data_format: Layout of the features.

    Call arguments:
        inputs: The features; what the layers that cut off give, in order; and where the frames'
            predictions are averaged the frames' logits.

    Input shape: ``(batch·frames, h, w, C)``, of a clip ``(batch, h, w, C)``, or channels first; and
        ``(batch·frames, units)``, behind the frames' mean ``(batch, units)``. Output shape:
        ``(batch, frames, h, w)``, float32 in [0, 1].
    """

    def __init__(
        self, steps: list[Any], head: Head, frames: int, data_format: str, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.steps, self.head, self.frames = steps, head, frames
        self.data_format = data_format
        self._autocast = False

    def call(self, inputs: Any) -> Any:
        features, *results = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        logits = results.pop() if self.head.averages else None
        signed = self._weighed(features, self._weights(results))
        first = self.data_format == "channels_first"
        height, width = features.shape[2:] if first else features.shape[1:3]
        known = self.frames if self.head.of_frames else 1
        clips = tf.reshape(tf.cast(signed, tf.float32), (-1, known, height, width))
        if logits is not None:
            clips = clips * _pull(tf.reshape(logits, (-1, self.frames, 2)))[:, :, None, None]
        found = scaled(clips)
        return found if self.head.of_frames else tf.tile(found, (1, self.frames, 1, 1))

    def _weights(self, results: list[Any]) -> Any:
        """∂m of the (frame's) margin by the pooled features: ``(1, C)`` of all, or for each row."""
        *steps, last = self.steps
        kernel = tf.convert_to_tensor(last.kernel)
        weights = (kernel[:, 1] - kernel[:, 0])[None]
        for step in reversed(steps):
            if step.name in self.head.caps:
                result, cap = tf.cast(results.pop(), tf.float32), self.head.caps[step.name]
                passes = result > 0 if math.isinf(cap) else (result > 0) & (result < cap)
                weights = weights * tf.cast(passes, tf.float32)
            if isinstance(step, keras.layers.Dense):
                kernel = tf.convert_to_tensor(step.kernel)
                weights = tf.matmul(weights, kernel, transpose_b=True)
            elif isinstance(step, keras.layers.BatchNormalization):
                factor = tf.math.rsqrt(tf.convert_to_tensor(step.moving_variance) + step.epsilon)
                weights = weights * (factor * step.gamma if step.scale else factor)
            elif isinstance(step, keras.layers.GlobalAveragePooling1D) and weights.shape[0] != 1:
                each = tf.tile(weights[:, None], (1, self.frames, 1))  # but for 1 / T
                weights = tf.reshape(each, (-1, weights.shape[-1]))  # (B·T, C)
        return weights

    def _weighed(self, features: Any, weights: Any) -> Any:
        """The sum over the channels, each times its weight."""
        first = self.data_format == "channels_first"
        weights = tf.cast(weights, features.dtype)
        if weights.shape[0] == 1:
            layout = "NCHW" if first else "NHWC"
            kernel = weights[0][None, None, :, None]
            return tf.nn.conv2d(features, kernel, 1, "VALID", data_format=layout)
        each = weights[:, :, None, None] if first else weights[:, None, None, :]
        return tf.reduce_sum(features * each, 1 if first else -1)


def _pull(logits: Any) -> Any:
    """How much a clip's margin follows each frame's, from logits ``(B, T, 2)``, ``(B, T)``.

    That is the derivative of ``log Σ_t p_t − log Σ_t (1 − p_t)`` by the frames' margins, computed
    without leaving the logarithm, so that sure frames keep their digits.
    """
    logs = tf.nn.log_softmax(tf.cast(logits, tf.float32), -1)
    real, fake = logs[..., 0], logs[..., 1]
    return tf.nn.softmax(fake, 1) * tf.exp(real) + tf.nn.softmax(real, 1) * tf.exp(fake)


def with_class_activation(model: Any, head: Head) -> Any:
    """The same network with the outputs ``logits`` and ``grad_cam`` ``(B, T, h, w)``.

    Args:
        model: Of clips; its layers are shared.
        head: Found in it, or in the network that it is the channels-first form of.
    """
    steps = [model.get_layer(name) for name in (*head.steps, head.logits)]
    data_format = model.get_layer(head.pool).data_format
    view = ClassActivation(steps, head, model.input_shape[1], data_format, name="grad_cam")
    read = [head.features, *head.caps, *([head.logits] if head.averages else [])]
    given = [model.get_layer(name).output for name in read]
    return keras.Model(model.input, [model.output, view(given if len(given) > 1 else given[0])])

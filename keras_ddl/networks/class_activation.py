"""ClassActivation: Grad-CAM as a layer, where nothing but means and a dense layer follow the
features.

There ∂m/∂A_k is known without a gradient: it is the difference of the dense layer's two weights
of channel k, over the number of cells, and where the frames' predictions are averaged a factor of
each frame. So the map can leave with an exported graph, in which gradients cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_ddl.edge.faces.map_kind import GRAD_CAM, MapKind
from keras_ddl.framework import keras, tf
from keras_ddl.networks.grad_cam import scaled
from keras_ddl.networks.keras_graph import KerasGraph
from keras_ddl.networks.last_features import last_features
from keras_ddl.networks.model import map_kind

OVER_IMAGE, OVER_FRAMES, PREDICTIONS = "GlobalAveragePooling2D", "FramesToClip", "FramesMean"
LINEAR = (OVER_IMAGE, OVER_FRAMES, "GlobalAveragePooling1D", "Dropout")


@dataclass(frozen=True)
class LinearHead:
    """The layers behind a network's last features, which turn them into logits linearly.

    Attributes:
        features: The layer that gives the last features.
        pool: The mean over the image.
        logits: The dense layer.
        of_frames: Whether the features still know the frames.
        averages: Whether the logits are those of frames, whose predictions are averaged.
    """

    features: str
    pool: str
    logits: str
    of_frames: bool
    averages: bool


def linear_head(model: Any) -> LinearHead | None:
    """Find the linear head of a network of clips; None where its head is of another kind."""
    try:
        features, graph = last_features(model), KerasGraph(model)
    except ValueError:  # no features, or none that can be found
        return None
    if len(features.path) > 1 or len(model.input_shape) != 5:
        return None
    readers, found = graph.readers(), {}
    node = graph.nodes[features.layer]
    while len(node.calls) == 1 and len(readers.get(node.name, ())) == 1:
        node = graph.nodes[readers[node.name][0]]
        if "Dense" not in found and node.kind in LINEAR:
            found[node.kind] = node.name
        elif "Dense" not in found and node.kind == "Dense" and OVER_IMAGE in found:
            if node.config["activation"] != "linear" or node.config["units"] != 2:
                return None
            found["Dense"] = node.name
        elif "Dense" in found and node.kind == PREDICTIONS:
            found[PREDICTIONS] = node.name
        else:
            return None
    if "Dense" not in found or [end.layer for end in graph.ends] != [node.name]:
        return None
    averages = PREDICTIONS in found
    of_frames = averages or OVER_FRAMES in found
    return LinearHead(features.layer, found[OVER_IMAGE], found["Dense"], of_frames, averages)


def graph_map_kind(model: Any) -> MapKind | None:
    """What the map of a network's exported graph is; None where it can have none.

    That is the network's own map where it has one, else Grad-CAM where its head is linear.
    """
    own = map_kind(model)
    return GRAD_CAM if own is None and linear_head(model) is not None else own


class ClassActivation(keras.layers.Layer):
    """The map of `GradCam`, of a network whose head is linear.

    Args:
        dense: The layer that gives the logits; shared with the network, not copied.
        frames: Frames per clip T.
        of_frames: Whether the features know the frames; otherwise all of a clip have one map.
        data_format: Layout of the features.

    Call arguments:
        inputs: The features, and where the frames' predictions are averaged the frames' logits.

    Input shape: ``(batch·frames, h, w, C)``, of a clip ``(batch, h, w, C)``, or channels first; and
        ``(batch·frames, 2)``. Output shape: ``(batch, frames, h, w)``, float32 in [0, 1].
    """

    def __init__(
        self, dense: Any, frames: int, of_frames: bool, data_format: str, **kwargs: Any
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.dense, self.frames = dense, frames
        self.of_frames, self.data_format = of_frames, data_format
        self._autocast = False

    def call(self, inputs: Any) -> Any:
        features, *logits = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        kernel = tf.convert_to_tensor(self.dense.kernel)  # (C, 2)
        weights = tf.cast(kernel[:, 1] - kernel[:, 0], features.dtype)[None, None, :, None]
        first = self.data_format == "channels_first"
        layout = "NCHW" if first else "NHWC"
        signed = tf.nn.conv2d(features, weights, 1, "VALID", data_format=layout)
        height, width = features.shape[2:] if first else features.shape[1:3]
        known = self.frames if self.of_frames else 1
        clips = tf.reshape(tf.cast(signed, tf.float32), (-1, known, height, width))
        if logits:
            clips = clips * _pull(tf.reshape(logits[0], (-1, self.frames, 2)))[:, :, None, None]
        found = scaled(clips)
        return found if self.of_frames else tf.tile(found, (1, self.frames, 1, 1))


def _pull(logits: Any) -> Any:
    """How much a clip's margin follows each frame's, from logits ``(B, T, 2)``, ``(B, T)``.

    That is the derivative of ``log Σ_t p_t − log Σ_t (1 − p_t)`` by the frames' margins, computed
    without leaving the logarithm, so that sure frames keep their digits.
    """
    logs = tf.nn.log_softmax(tf.cast(logits, tf.float32), -1)
    real, fake = logs[..., 0], logs[..., 1]
    return tf.nn.softmax(fake, 1) * tf.exp(real) + tf.nn.softmax(real, 1) * tf.exp(fake)


def with_class_activation(model: Any, head: LinearHead) -> Any:
    """The same network with the outputs ``logits`` and ``grad_cam`` ``(B, T, h, w)``.

    Args:
        model: Of clips; its layers are shared.
        head: Found in it, or in the network that it is the channels-first form of.
    """
    features, dense = model.get_layer(head.features).output, model.get_layer(head.logits)
    data_format = model.get_layer(head.pool).data_format
    view = ClassActivation(
        dense, model.input_shape[1], head.of_frames, data_format, name="grad_cam"
    )
    given = [features, dense.output] if head.averages else features
    return keras.Model(model.input, [model.output, view(given)])

"""GradCam: what in the last features of a network raised its score of fake."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from inspect import signature
from typing import Any

import numpy as np

from keras_ddl.framework import keras, tf
from keras_ddl.networks.keras_graph import KerasGraph, Source
from keras_ddl.networks.last_features import LastFeatures, as_functional, last_features

FAINT = 1e-3
"""Share of the strongest cell, for or against, that a clip's cells must differ by to be a map."""
DIM = 0.1
"""Share of the strongest cell against below which what speaks for fake is drawn dimmer."""


class GradCam:
    """Gradient-weighted class activation maps of a network.

    With A the last features and m the logit of fake minus that of real, every channel k has the
    weight α_k = mean over the cells of ∂m/∂A_k, and a cell gets ReLU(Σ_k α_k A_k): channels whose
    rise would lower the score take away, and what is left below 0 is 0. Each clip is scaled so that
    its largest value is 1, or less where a cell speaks more than ten times as strongly against: a
    sure real has no bright map of what rounding left. The map tells what raised this network's
    score, right or wrong, at the places that the features stand for; it doesn't tell where a
    forgery is.

    Args:
        model: A functional network with two logits, class 1 = fake, of clips ``(B, T, S, S, 3)``,
            or of the frames of clips ``(B·T, S, S, 3)``; models among its layers are looked into.
        frames: T of a network of frames; None is the clips' own.

    Attributes:
        features: Where the features are taken.

    Raises:
        ValueError: No feature map, no two logits, or frames of an unknown T.

    Reference: Selvaraju et al., "Grad-CAM", ICCV 2017, section 3. Deviation: every frame that the
        features still know has weights of its own, not the clip one weight in common.
    """

    def __init__(self, model: Any, frames: int | None = None) -> None:
        self._folded = len(model.input_shape) != 5
        self._frames = frames if self._folded else model.input_shape[1]
        if self._frames is None:
            raise ValueError(f"{model.name} is given frames; expected how many make a clip")
        if len(model.outputs) != 1 or tuple(model.output_shape[1:]) != (2,):
            raise ValueError(f"{model.name}: expected two logits, got {model.output_shape}")
        self.features: LastFeatures = last_features(model)
        self._model = as_functional(model)

    @cached_property
    def _signed(self) -> Any:
        """`_weighed` as a graph, for any number of clips."""
        clips = tf.TensorSpec((None, *self._model.input_shape[1:]), self._model.input.dtype)
        return tf.function(self._weighed).get_concrete_function(clips)

    def __call__(self, clips: np.ndarray) -> np.ndarray:
        """Return the maps of clips.

        Args:
            clips: What the network is given, B clips.

        Returns:
            float32 ``(B, T, h, w)`` in [0, 1], h and w those of the features. Where these no longer
            know the frames, all of a clip have the same map; where they know fewer, some have.
            A clip whose cells are all alike has 0 everywhere.
        """
        count = len(clips) // self._frames if self._folded else len(clips)
        signed = self._signed(tf.convert_to_tensor(clips, self._model.input.dtype))  # (B·t, h, w)
        maps = tf.reshape(signed, (count, -1, *signed.shape[1:]))  # (B, t, h, w)
        found = np.asarray(scaled(maps), np.float32)
        known = found.shape[1]
        return found[:, np.arange(self._frames) * known // self._frames]

    def _weighed(self, clips: Any) -> Any:
        """Σ_k α_k A_k of every frame that the features know, ``(B·t, h, w)``."""
        logits, features = _laid(self._model, [clips], self.features, 0)
        margin = logits[:, 1] - logits[:, 0]
        (gradient,) = tf.gradients(margin, [features])
        if gradient is None:
            raise ValueError(f"the logits do not depend on {self.features.layer}")
        sizes = tf.shape(features)[-3:]
        weights, values = (
            tf.reshape(tf.cast(x, tf.float32), tf.concat([[-1], sizes], 0))
            for x in (gradient, features)
        )  # (B·t, h, w, C)
        alphas = tf.reduce_mean(weights, (1, 2), keepdims=True)
        return tf.reduce_sum(alphas * values, -1)


def scaled(signed: Any) -> Any:
    """What speaks for fake, each clip's largest as 1; as 0.1 where one against is 100 times it.

    Args:
        signed: ``(B, T, h, w)``, what speaks for fake above 0 and what speaks against it below.

    Returns:
        float32 of the same shape, in [0, 1]; 0 where a clip's cells do not differ.
    """
    axes = (1, 2, 3)
    raised = tf.nn.relu(signed)
    highest = tf.reduce_max(raised, axes, keepdims=True)
    lowest = tf.reduce_min(raised, axes, keepdims=True)
    strongest = tf.reduce_max(tf.abs(signed), axes, keepdims=True)
    shows = highest - lowest > FAINT * strongest
    return tf.where(shows, raised / tf.where(shows, tf.maximum(highest, DIM * strongest), 1.0), 0.0)


def _laid(model: Any, inputs: Sequence[Any], wanted: LastFeatures, level: int) -> tuple[Any, Any]:
    """The result of a network, computed layer by layer, and of the layer that is wanted.

    Args:
        model: A functional model, in which the layers of `wanted.path` from `level` on lie.
        inputs: Its inputs, in order.
        wanted: Whose result.
        level: How many models lie around this one.
    """
    made: dict[tuple[str, int], Any] = {}
    found = None
    name, last = wanted.path[level], level + 1 == len(wanted.path)
    graph = KerasGraph(model)

    def tensor(source: Source) -> Any:
        return _picked(made[source.layer, source.call], source.output)

    for call in graph.calls_in_order():
        layer = model.get_layer(call.layer)
        given = [tensor(source) for source in call.sources]
        here = call.layer == name
        if isinstance(layer, keras.layers.InputLayer):
            result = inputs[model.input_names.index(call.layer)]
        elif here and not last:
            result, found = _laid(as_functional(layer), given, wanted, level + 1)
        else:
            result = call.repeated(layer, tensor, **_at_rest(layer))
        if here and last and call.number == wanted.call:
            found = result
        made[call.layer, call.number] = result
    ends = [tensor(end) for end in graph.ends]
    return (ends[0] if len(ends) == 1 else ends), found


def _picked(result: Any, output: int) -> Any:
    return result[output] if isinstance(result, (list, tuple)) else result


def _at_rest(layer: Any) -> dict[str, Any]:
    """Outside its model a layer must be told not to train."""
    return {"training": False} if "training" in signature(layer.call).parameters else {}

"""Last features: the feature map nearest to a network's logits, found in its Keras graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from keras_ddl.framework import keras
from keras_ddl.networks.keras_graph import KerasGraph

MAPS = (4, 5)  # ranks: images, and images with an axis of time
WITHOUT_FEATURES = ("Pool", "Dropout", "Padding")
"""In the names of layers that only pass on what another has found."""


@dataclass(frozen=True)
class LastFeatures:
    """Where the last feature map of a network comes from.

    Attributes:
        path: Names of layers: those of the nested models that it lies in, outermost first, and its
            own.
        call: Which of that layer's calls, from 0.
        depth: Calls on the longest way to it from the input.
    """

    path: tuple[str, ...]
    call: int
    depth: int

    @property
    def layer(self) -> str:
        """The layer's name, after those of the models around it."""
        return "/".join(self.path)


def last_features(model: Any) -> LastFeatures:
    """Find the last feature map of a network.

    That is the result that most calls lie before, among those of rank 4 or 5 with more than one
    cell and more than one channel that come of weights. Pooling, dropout and padding have no
    features of their own: the map before them counts, which is finer.

    Args:
        model: A functional model; models among its layers are looked into.

    Raises:
        ValueError: There is no such map, or the graph cannot be followed.
    """
    found, _, _ = _walk(model, (), 0, False)
    if found is None:
        raise ValueError(
            f"{model.name} has no feature map: expected a layer with weights whose result is "
            "(batch, height, width, channels), or has time behind the batch"
        )
    return found


def as_functional(model: Any) -> Any:
    """The same layers as a functional model, whose graph can be walked."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs, name=model.name)
    return model


def _walk(
    model: Any, path: tuple[str, ...], depth: int, learnt: bool
) -> tuple[LastFeatures | None, int, bool]:
    """The deepest feature map, the depth of the result, and whether any weights lie before it."""
    model = as_functional(model)
    best: LastFeatures | None = None
    reached: dict[tuple[str, int], tuple[int, bool]] = {}
    for call in KerasGraph(model).calls_in_order():
        layer, own = model.get_layer(call.layer), (*path, call.layer)
        before = [reached[source.layer, source.call] for source in call.sources]
        here = 1 + max((deep for deep, _ in before), default=depth)
        known = learnt or any(of_weights for _, of_weights in before)
        inner = None
        if isinstance(layer, keras.Model):
            inner, here, known = _walk(layer, own, here, known)
        else:
            known = known or bool(layer.weights)
            if known and _is_map(layer):
                inner = LastFeatures(own, call.number, here)
        if inner is not None and (best is None or inner.depth >= best.depth):
            best = inner
        reached[call.layer, call.number] = here, known
    depths, weighed = zip(*reached.values(), strict=True)
    return best, max(depths), any(weighed)


def _is_map(layer: Any) -> bool:
    """Whether a layer's result is features at more than one place."""
    result, kind = layer.get_output_at(0), type(layer).__name__
    shape = getattr(result, "shape", ())  # several results have none
    if len(shape) not in MAPS or any(word in kind for word in WITHOUT_FEATURES):
        return False
    *_, height, width, channels = shape
    return channels != 1 and (height, width) != (1, 1)

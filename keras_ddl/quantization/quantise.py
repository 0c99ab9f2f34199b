"""A trained network → the same network with quantisers where TensorRT wants them.

- Batch norm is folded: kernels take its factor, a bias is left.
- A quantised convolution rounds its kernel per output channel and its input as a whole. One
  quantiser stands behind each tensor, whoever reads it; padding comes after it, for 0 is exact.
- Of a residual sum the branch that no convolution ends is rounded (the second, if both do): the
  runtime adds it inside the other branch's convolution.
- Inputs of pooling are rounded, so that it may run on integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from keras_ddl.framework import keras
from keras_ddl.layers import CUSTOM_OBJECTS, DFDC, MSA, QuantPoint
from keras_ddl.layers.msa import DIRECTIONS, SCALES
from keras_ddl.networks.keras_graph import KerasGraph, Node
from keras_ddl.quantization.rules import RULES, Rule, decide

CONVOLUTIONS = {"Conv2D": "QuantConv2D", "DepthwiseConv2D": "QuantDepthwiseConv2D"}
MODULES = ("DFDC", "MSA")
POOLINGS = ("AveragePooling2D", "MaxPooling2D", "PaddedMaxPool2D")
PADDING = "ZeroPadding2D"
NORM = "BatchNormalization"


def quantised(model: keras.Model, rules: Sequence[Rule] = RULES) -> keras.Model:
    """Return a copy of a float network with batch norm folded and quantisers inserted.

    The quantisers have no ranges yet: see `calibration.calibrate`.

    Args:
        model: Of `build_model`, trained.
        rules: Which layers compute in int8.
    """
    graph = _Graph(model, rules)
    graph.quantise()
    twin = graph.rebuilt(CUSTOM_OBJECTS)
    for layer in twin.layers:
        if layer.weights and not isinstance(layer, QuantPoint):
            _fill(layer, model, graph.norms)
    return twin


def quant_points(model: keras.Model) -> dict[str, QuantPoint]:
    """The quantisers of a network by name, those inside the modules as `module/name`."""
    return _parts(model, lambda part: isinstance(part, QuantPoint) and part.bits)


def rounded_layers(model: keras.Model) -> dict[str, Any]:
    """The convolutions with rounded kernels by name, those inside the modules as `module/name`."""
    return _parts(model, lambda part: hasattr(part, "rounded"))


def _parts(model: keras.Model, wanted: Callable[[Any], bool]) -> dict[str, Any]:
    found = {}
    for layer in model.layers:
        if isinstance(layer, (DFDC, MSA)):
            inner = filter(wanted, layer.submodules)
            found.update({f"{layer.name}/{part.name}": part for part in inner})
        elif wanted(layer):
            found[layer.name] = layer
    return found


def set_active(model: keras.Model, active: bool) -> None:
    """Let all quantisers of a network round, or none; seen by eager calls."""
    for point in quant_points(model).values():
        point.active = active
    for layer in rounded_layers(model).values():
        layer.rounded.active = active


class _Graph(KerasGraph):
    """The graph of a float network on its way to int8.

    Attributes:
        norms: Convolution → the batch norm that is folded into it.
    """

    def __init__(self, model: keras.Model, rules: Sequence[Rule]) -> None:
        super().__init__(model)
        self._rules = rules
        readers = self.readers()
        self.norms = {
            node.sources[0]: name
            for name, node in self.nodes.items()
            if node.kind == NORM
            and self.nodes[node.sources[0]].kind in CONVOLUTIONS
            and readers[node.sources[0]] == [name]
        }

    def int8(self, node: Node) -> bool:
        """Whether a layer computes in int8. One that is called twice stays float."""
        able = node.kind in CONVOLUTIONS or node.kind in MODULES
        return able and len(node.calls) == 1 and decide(node.name, self._rules).int8

    def quantise(self) -> None:
        """Insert the quantisers, fold the norms and change the layers to their rounded forms."""
        points: dict[str, Node] = {}
        for reader, source in list(self._rounded()):
            name = f"{source}_quant"
            points[name] = Node.behind(source, "QuantPoint", {"name": name, "bits": 8})
            reader.read_instead(source, name)
        folded = set(self.norms.values())
        for name, node in self.nodes.items():
            if name in folded:
                node.become("ChannelBias", {"name": name})
            elif node.kind in CONVOLUTIONS:
                if name in self.norms:  # one bias is enough
                    node.config["use_bias"] = False
                if self.int8(node):
                    node.become(CONVOLUTIONS[node.kind], node.config)
            elif node.kind in MODULES:
                node.config["quantized"] = self.int8(node)
        self.nodes.update(points)

    def _rounded(self) -> Iterator[tuple[Node, str]]:
        """(Reader, source) of every connection that a quantiser goes into."""
        for node in self.nodes.values():
            if node.kind in CONVOLUTIONS and self.int8(node):
                reader = node
                while self.nodes[reader.sources[0]].kind == PADDING:
                    reader = self.nodes[reader.sources[0]]
                yield reader, reader.sources[0]
            elif node.kind in POOLINGS:
                yield node, node.sources[0]
            elif node.kind == "Add" and len(node.sources) == 2:
                loose = [name for name in node.sources if not self._ends_in_int8(name)]
                if len(loose) < 2:  # a residual sum: some branch ends in a convolution
                    yield node, (loose or node.sources[1:])[0]

    def _ends_in_int8(self, name: str) -> bool:
        node = self.nodes[name]
        if node.kind == NORM:
            node = self.nodes[node.sources[0]]
        return node.kind in CONVOLUTIONS and self.int8(node)


def _fill(layer: Any, model: keras.Model, norms: dict[str, str]) -> None:
    """Give a layer of the quantised network its weights from the float one."""
    source = model.get_layer(layer.name)
    if layer.name in norms:
        factor, _ = _folded(model.get_layer(norms[layer.name]))
        _convolution(layer, source, factor)
    elif isinstance(source, keras.layers.BatchNormalization) and hasattr(layer, "bias"):
        convolution = next(name for name, norm in norms.items() if norm == layer.name)
        layer.bias.assign(_rest(source, model.get_layer(convolution)))
    elif isinstance(source, MSA) and layer.quantized:
        _msa(layer, source)
    elif isinstance(source, DFDC) and layer.quantized:
        for name in ("query", "key", "value"):
            _convolution(getattr(layer, name), getattr(source, name))
        layer.gamma.assign(source.gamma)
    elif type(layer).__name__ in CONVOLUTIONS.values():
        _convolution(layer, source)
    else:
        layer.set_weights(source.get_weights())


def _msa(layer: MSA, source: MSA) -> None:
    layer.gamma.assign(source.gamma)
    for direction in DIRECTIONS:
        for scale in SCALES:
            taps, _, pointwise, norm = source.branch(direction, scale)
            own_taps, _, own_pointwise, bias = layer.branch(direction, scale)
            _convolution(own_taps, taps)
            _convolution(own_pointwise, pointwise, _folded(norm)[0] / len(SCALES))
            bias.bias.assign(_rest(norm, pointwise) / len(SCALES))
        _, merge, norm = source.merge(direction)
        _, own_merge, bias = layer.merge(direction)
        _convolution(own_merge, merge, _folded(norm)[0])
        bias.bias.assign(_rest(norm, merge))


def _folded(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    """Batch norm as factor and bias per channel: y = factor · x + bias."""
    mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
    factor = 1 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        factor = factor * norm.gamma.numpy()
    return factor, (norm.beta.numpy() if norm.center else 0) - mean * factor


def _rest(norm: Any, convolution: Any) -> np.ndarray:
    """The bias that is left of a convolution and its batch norm."""
    factor, rest = _folded(norm)
    return rest + (convolution.bias.numpy() * factor if convolution.use_bias else 0)


def _convolution(target: Any, source: Any, factor: Any = 1.0) -> None:
    """Copy a kernel times a factor per output channel, and the bias where the target has one."""
    if hasattr(source, "depthwise_kernel"):  # (h, w, C, 1)
        scale = np.reshape(factor, (-1, 1)) if np.ndim(factor) else factor
        target.depthwise_kernel.assign(source.depthwise_kernel * scale)
    else:
        target.kernel.assign(source.kernel * factor)
    if target.use_bias:
        target.bias.assign(source.bias * factor)

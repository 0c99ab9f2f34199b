"""Costs of a network: parameters, and multiply-accumulate operations (MAC) per clip.

Counted are convolutions, matrix products and the two modules' scores, as the layers compute them.
Left out, as is usual, are element-wise steps: batch norm, activations, additions, pooling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import prod
from typing import Any

from keras_ddl.networks.ablations import TITLES, VARIANTS
from keras_ddl.networks.keras_graph import KerasGraph, steps_by_name

GIGA = 1e9
Steps = Iterator[tuple[str, int]]


def parameters(model: Any) -> int:
    """Trainable numbers of a network or layer; the statistics of batch norm are none of them."""
    return sum(prod(variable.shape) for variable in model.trainable_weights)


def macs(model: Any, frames: int | None = None) -> dict[str, int]:
    """Multiply-accumulate operations that a network spends on one clip, step by step.

    Args:
        model: A functional model of clips ``(batch, frames, height, width, 3)`` or, as `extend`
            gives it, of frames ``(batch·frames, height, width, channels)``.
        frames: Frames per clip; needed for a model of frames only.

    Returns:
        Name → operations, in the order of the layers. A plain layer is one step, named after it;
        DFDC and MSA have several, as ``block3_dfdc/query`` or ``block3_msa/vertical_merge``.

    Raises:
        ValueError: frames are not given for a model of frames; a layer with a kernel is of a kind
            not known here; an image size is unknown or differs between the calls of one layer.
    """
    images = _images_per_clip(model, frames)
    return {
        f"{layer.name}/{step}" if step else layer.name: count
        for layer in model.layers
        for step, count in _steps(layer, images[layer.name])
    }


def released_macs(model: Any, frames: int | None = None) -> dict[str, int]:
    """The same for the graph of the authors' released code.

    Two steps of DFDC differ there: the products of every frame with every other, T × T at each
    position, and the value projection, at all positions. The other steps do the same work.
    """
    steps, images = macs(model, frames), _images_per_clip(model, frames)
    for layer in model.layers:
        if _own_kind(type(layer).__name__) == "DFDC":
            _, positions, channels = _image(layer, _shape(layer, "input"))
            at = images[layer.name] * positions
            narrow = channels // layer.reduction
            steps[f"{layer.name}/similarity"] = at * layer.frames * narrow
            steps[f"{layer.name}/value"] = at * channels**2
    return steps


def _images_per_clip(model: Any, frames: int | None) -> dict[str, int]:
    """Layer name → how many images of one clip it is given, all its calls together.

    A layer of the zoo that makes one image of a clip's says so with `gives_clips`.
    """
    of_clips = len(model.input_shape) == 5
    frames = model.input_shape[1] if of_clips else frames
    if frames is None:
        raise ValueError(
            f"{model.name} takes frames; expected how many make a clip; got None; "
            "give it: macs(model, 8)"
        )
    change: dict[str, Callable[[int], int]] = {
        "InputLayer": lambda _: 1 if of_clips else frames,
        "ClipToFrames": lambda count: count * frames,
        "FramesToChannels": lambda count: count // frames,
        "FramesToClip": lambda count: count // frames,
        "FramesMean": lambda count: count // frames,
    }
    given_by: dict[tuple[str, int], int] = {}  # (layer, number of its call) → images it gives
    images: dict[str, int] = {}
    graph, steps = KerasGraph(model), steps_by_name(model)
    for call in graph.calls_in_order():
        first = call.sources[0] if call.sources else None
        given = given_by[first.layer, first.call] if first else 1
        images[call.layer] = images.get(call.layer, 0) + given
        if getattr(steps[call.layer], "gives_clips", False):
            gives = given // frames
        else:
            gives = change.get(_own_kind(graph.nodes[call.layer].kind), int)(given)
        given_by[call.layer, call.number] = gives
    return images


def _own_kind(kind: str) -> str:
    """A layer's class name; its form for export, in `layers.channels_first`, costs the same."""
    return kind.removeprefix("ChannelsFirst")


def _steps(layer: Any, images: int) -> Steps:
    """The steps of a layer, ``""`` where there is one, and their operations on so many images."""
    kind = _own_kind(type(layer).__name__)
    if kind in COUNTERS:
        yield from COUNTERS[kind](layer, images)
    elif hasattr(layer, "macs"):  # a layer of the zoo knows its own
        yield "", images * layer.macs()
    elif any(len(weight.shape) > 1 for weight in layer.weights):
        raise ValueError(
            f"layer {layer.name}: expected no kernel, or one of the kinds {', '.join(COUNTERS)}; "
            f"got {kind}; add it to keras_ddl.networks.cost.COUNTERS"
        )


def _shape(layer: Any, end: str) -> Any:
    """Shape of a layer's ``"input"`` or ``"output"``; AttributeError where its calls differ."""
    name = f"{end}_shape"
    if hasattr(type(layer), name):  # Keras 2
        return getattr(layer, name)
    tensors = [
        tensor for node in layer._inbound_nodes for tensor in getattr(node, f"{end}_tensors")
    ]
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise AttributeError(f"{layer.name} has several: {shapes}")
    return shapes.pop()


def _image(layer: Any, shape: Any) -> tuple[int, int, int]:
    """Height, positions and channels of an image that goes into or comes out of a layer."""
    first = getattr(layer, "data_format", "channels_last") == "channels_first"
    *sides, channels = (*shape[2:], shape[1]) if first else shape[1:]
    if None in sides:
        raise ValueError(
            f"layer {layer.name}: expected a known image size; got {shape}; "
            "build the network with one"
        )
    return (sides or [1])[0], prod(sides), channels


def _kernels(layer: Any, images: int) -> Steps:
    try:
        _, positions, _ = _image(layer, _shape(layer, "output"))
    except AttributeError as error:
        raise ValueError(
            f"layer {layer.name}: expected images of one size; got several; give each its own layer"
        ) from error
    per_position = sum(prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1)
    yield "", images * positions * per_position


def _dfdc(layer: Any, images: int) -> Steps:
    height, positions, channels = _image(layer, _shape(layer, "input"))
    narrow, at = channels // layer.reduction, images * positions
    kept = min(height if layer.keep is None else layer.keep, positions)
    yield "query", at * channels * narrow
    yield "key", at * channels * narrow
    yield "similarity", at * narrow  # q_i · Σ_j k_j
    yield "value", images * kept * channels**2  # at the kept positions only


def _msa(layer: Any, images: int) -> Steps:
    from keras_ddl.layers.msa import DIRECTIONS, SCALES

    _, positions, channels = _image(layer, _shape(layer, "input"))
    narrow, at = channels // layer.reduction, images * positions
    for direction in DIRECTIONS:
        for scale, by in SCALES.items():  # pooled over time: fewer frames
            yield f"{direction}_{scale}_taps", at // by * 3 * channels
            yield f"{direction}_{scale}_pointwise", at // by * channels * narrow
        yield f"{direction}_merge", at * narrow * channels


def _recurrent(layer: Any, images: int) -> Steps:
    """Products with the input and with the state, at every step and in every direction."""
    kernels = [weight for weight in layer.weights if "kernel" in weight.name]
    yield "", images * _shape(layer, "input")[1] * sum(prod(weight.shape) for weight in kernels)


COUNTERS: dict[str, Callable[[Any, int], Steps]] = {
    "DFDC": _dfdc,
    "MSA": _msa,
    "Conv2D": _kernels,
    "DepthwiseConv2D": _kernels,
    "SeparableConv2D": _kernels,
    "Dense": _kernels,
    "LSTM": _recurrent,
    "GRU": _recurrent,
    "Bidirectional": _recurrent,
}


def summary_table(build: Callable[..., Any], frames: int = 8) -> str:
    """Every backbone with every ablation at its own size: parameters and GMAC per clip, as text.

    Args:
        build: `build_model`; given, because the builder does not depend on what it costs.
        frames: Frames per clip.
    """
    from tqdm import tqdm

    from keras_ddl.networks.backbones import DEFAULT_SIZES

    rows = [("network", "modules", "parameters", "GMAC per clip", "÷ plain", "released code")]
    for backbone, size in tqdm(DEFAULT_SIZES.items(), "building", leave=False):
        model = build(backbone, frames=frames)
        costs = [ablation_cost(model, modules) for modules in VARIANTS.values()]
        names = [f"{backbone}, {size} px", *[""] * len(costs)]
        for name, label, (count, own, released) in zip(names, TITLES.values(), costs, strict=False):
            ratio = f"{own / costs[0][1]:.2f}"
            rows.append((name, label, f"{count:,}", f"{own:.2f}", ratio, f"{released:.2f}"))
    notes = (
        f"{frames} frames per clip. Parameters: trainable numbers. GMAC: 10⁹ multiply-accumulates",
        'of convolutions, products and scores, as computed here; under "released code", as the',
        "authors' own graph computes the same, with T × T products and a value at every position.",
    )
    return "\n".join((_table(rows), "", *notes))


def ablation_cost(model: Any, modules: Sequence[str]) -> tuple[int, float, float]:
    """What a network with both modules would cost with some of them only.

    Returns:
        Parameters, GMAC per clip, and GMAC per clip of the authors' graph.
    """
    dropped = {
        layer.name: layer
        for layer in model.layers
        if type(layer).__name__ in ("DFDC", "MSA") and type(layer).__name__.lower() not in modules
    }
    kept = [
        sum(count for step, count in steps.items() if step.partition("/")[0] not in dropped)
        for steps in (macs(model), released_macs(model))
    ]
    count = parameters(model) - sum(parameters(layer) for layer in dropped.values())
    return count, kept[0] / GIGA, kept[1] / GIGA


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Rows under a heading, in columns of fixed width: two of words, then numbers."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    aligned = [
        [
            cell.rjust(width) if column > 1 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]
    aligned.insert(1, ["─" * width for width in widths])
    return "\n".join("  ".join(cells).rstrip() for cells in aligned)

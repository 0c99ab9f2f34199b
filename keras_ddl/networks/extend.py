"""extend: any functional CNN with DFDC and MSA after named layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from keras_ddl.framework import keras
from keras_ddl.layers import DFDC, MSA
from keras_ddl.networks.ablations import MODULES
from keras_ddl.networks.keras_graph import KerasGraph, steps_by_name
from keras_ddl.networks.stage_names import found_name, stage_name

Stage = Callable[[Any, str], Any]


def extend(
    cnn: Any,
    stages: Sequence[str] | Mapping[str, str],
    modules: Sequence[str] = MODULES,
    frames: int = 8,
    keep: str | int = "paper",
) -> Any:
    """Rebuild a frame network with the modules after each named layer.

    Every consumer of a stage's output, skip connections included, receives the modules' output. The
    layers of `cnn` are copied with their weights; the modules start as the identity (γ = 0),
    so that pretrained weights keep their meaning.

    Args:
        cnn: Functional model with one input ``(batch, height, width, channels)`` and one output, of
            the Keras that this process has, see `keras_ddl.framework`.
        stages: Names of layers whose output the modules follow, or a mapping from a short stage
            name (the prefix of the modules' names) to a layer name. What one Keras calls
            ``expanded_conv_2/Add`` and the other ``expanded_conv_2_add`` is found by either name,
            see `stage_names`.
        modules: Any of ``"dfdc"`` and ``"msa"``; applied in that order.
        frames: Frames per clip T, consecutive in the batch axis.
        keep: Positions DFDC keeps: ``"paper"`` = H, ``"released"`` = H − 1 (at least 1), or a
            number.

    Returns:
        A functional model from ``(batch·frames, height, width, channels)`` to the output of `cnn`.
        Its attribute `extended_frames` is T.

    Raises:
        ValueError: unknown stage or module, a network that is not functional with one input, or one
            of the other Keras.
    """
    _require_functional(cnn)
    image = keras.Input(cnn.input_shape[1:], name="frames")
    named = stages if isinstance(stages, Mapping) else {stage_name(name): name for name in stages}
    output = apply_extended(cnn, image, named, stage_modules(modules, frames, keep))
    model = keras.Model(image, output, name=f"{cnn.name}_{'_'.join(modules) or 'plain'}")
    model.extended_frames = frames
    return model


def stage_modules(modules: Sequence[str], frames: int, keep: str | int) -> Stage:
    """The function that puts the chosen modules on a stage's output, named after the stage."""
    unknown = sorted(set(modules) - set(MODULES))
    if unknown:
        raise ValueError(f"modules must be among {', '.join(MODULES)}; got {', '.join(unknown)}")

    def with_modules(x: Any, prefix: str) -> Any:
        if "dfdc" in modules:
            x = DFDC(frames, kept_positions(keep, x.shape[1]), name=f"{prefix}_dfdc")(x)
        if "msa" in modules:
            x = MSA(frames, name=f"{prefix}_msa")(x)
        return x

    return with_modules


def kept_positions(keep: str | int, height: int | None) -> int | None:
    """DFDC's `keep` argument for a stage of this height, from ``"paper" | "released" | int``."""
    if keep == "paper":
        return None
    if keep == "released":
        if height is None:
            raise ValueError('keep="released" means height - 1 and needs a network of fixed size')
        return max(1, height - 1)
    if isinstance(keep, int) and keep >= 1:
        return keep
    raise ValueError(f'keep must be "paper", "released" or a number of at least 1; got {keep!r}')


def apply_extended(cnn: Any, image: Any, stages: Mapping[str, str], addition: Stage) -> Any:
    """Lay copies of the layers over `image`, with ``addition(output, prefix)`` after each stage."""
    graph = _graph(cnn)
    prefixes = {found_name(layer, graph.nodes): prefix for prefix, layer in stages.items()}
    missing = [layer for layer in stages.values() if found_name(layer, graph.nodes) is None]
    if missing:
        near = get_close_matches(missing[0], graph.nodes, n=3) or list(graph.nodes)[:5]
        raise ValueError(
            f"no layer named {', '.join(missing)} in {cnn.name}; did you mean {', '.join(near)}?"
        )
    steps, tensors = steps_by_name(cnn), {}
    for call in graph.calls_in_order():
        name, step = call.layer, steps[call.layer]
        if isinstance(step, keras.layers.InputLayer):
            tensors[name] = image
        else:
            copy = type(step).from_config(step.get_config())
            tensors[name] = call.repeated(copy, lambda source: tensors[source.layer])
            _copy_weights(step, copy)
        if name in prefixes:
            tensors[name] = addition(tensors[name], prefixes[name])
    return tensors[cnn.output_names[0]]


def producer(cnn: Any, layer: str) -> str:
    """Name of the layer that feeds `layer` (its first input)."""
    return _graph(cnn).nodes[layer].sources[0]


def _copy_weights(step: Any, copy: Any) -> None:
    if not getattr(step, "weights", None):
        return
    copy.set_weights(step.get_weights())
    if isinstance(step, keras.layers.Normalization):
        copy.finalize_state()  # in Keras 3 it computes with what it made of its weights


def _require_same_keras(cnn: Any) -> None:
    """Refuse a network of the other Keras: its layers do not go together with those used here."""
    kerases = {base.__module__.partition(".")[0] for base in type(cnn).__mro__}
    other = "keras" if keras.__name__ == "tf_keras" else "tf_keras"
    if other not in kerases:
        return
    names = {"tf_keras": "tf_keras (Keras 2)", "keras": "Keras 3"}
    raise ValueError(
        f"extend builds with {names[keras.__name__]} in this process; got a "
        f"network of {names[other]}; set KERAS_DDL_KERAS={other} in the environment before "
        "keras_ddl is first imported"
    )


def _require_functional(cnn: Any) -> None:
    _require_same_keras(cnn)
    counts = [len(getattr(cnn, ends, None) or ()) for ends in ("inputs", "outputs")]
    if counts != [1, 1] or isinstance(cnn, keras.Sequential):
        raise ValueError(
            "extend needs a functional model with one input and one output; "
            f"got {type(cnn).__name__} {cnn.name!r}; build it with keras.Model(input, output)"
        )


def _graph(cnn: Any) -> KerasGraph:
    """The graph of a network that can be rebuilt layer by layer."""
    _require_functional(cnn)
    graph = KerasGraph(cnn)
    for node in graph.nodes.values():
        if len(node.calls) > 1:
            raise ValueError(
                f"layer {node.name} is called more than once; extend cannot rebuild it"
            )
        if any(source.output for source in node.calls[0].sources):
            raise ValueError(f"layer {node.name} reads a second output; extend cannot rebuild it")
    return graph
